// Training curves, one colour a method: smoothed, and averaged over seeds.

const STAGES = { run: "Alignment", sft: "Supervised fine-tuning", reward_model: "Reward model" };

let smoothing = 0.6, eachSeed = false;

const rounded = (value) => Number(value.toPrecision(6)); // a constant stays one

// Exponential moving average without bias towards the first value: the weights of the past sum to one.
function smoothed(points, strength) {
  let sum = 0, weight = 0;
  return points.map(([step, value]) => {
    sum = strength * sum + (1 - strength) * value;
    weight = strength * weight + (1 - strength);
    return [step, rounded(sum / weight)];
  });
}

// The mean over curves at the steps that all of them have, with the lowest and the highest: [[step, mean, low, high] …].
function averaged(curves) {
  const others = curves.slice(1).map((points) => new Map(points));
  return curves[0].filter(([step]) => others.every((other) => other.has(step))).map(([step, value]) => {
    const values = [value, ...others.map((other) => other.get(step))];
    return [step, rounded(values.reduce((sum, one) => sum + one, 0) / values.length), Math.min(...values), Math.max(...values)];
  });
}

// One line for a training, or for all seeds of one.
function trainingSeries(runs, metric) {
  const groups = new Map();
  for (const run of runs.filter((one) => one.curves[metric] && !hidden.has(one.method))) {
    const key = eachSeed ? run.id : run.group;
    groups.set(key, [...(groups.get(key) || []), run]);
  }
  return [...groups.values()].map((own) => {
    const raw = averaged(own.map((run) => run.curves[metric]));
    const mean = averaged(own.map((run) => smoothed(run.curves[metric], smoothing)));
    const seeds = own.map((run) => run.seed).sort((a, b) => a - b).join(", ");
    return {
      label: named(own[0].method), ...look(own[0].method), points: mean.map(([step, value]) => [step, value]),
      tip: own.length > 1 ? `${named(own[0].method)}, mean of seeds ${seeds}: ${own[0].hparams}` : `${own[0].id} (seed ${seeds})`,
      faint: smoothing ? raw.map(([step, value]) => [step, value]) : [],
      band: own.length > 1 ? mean.map(([step, , low, high]) => [step, low, high]) : [] };
  });
}

function trainingPage() {
  const groups = new Map();
  for (const run of DATA.runs) {
    const key = `${STAGES[run.stage] || run.stage}: ${run.dataset}, ${run.model}`;
    groups.set(key, [...(groups.get(key) || []), run]);
  }
  const width = chartWidth(4, 290);
  const chart = (runs, metric, title) => {
    const series = trainingSeries(runs, metric);
    return series.length ? lineChart({ title, width, x: "step", y: title, series }) : null;
  };
  const places = [...groups].map(([, runs]) => [runs, h("div", { class: "charts" })]);
  const draw = () => places.forEach(([runs, place]) => place.replaceChildren(
    ...Object.entries(DATA.meta.metrics).map(([metric, title]) => chart(runs, metric, title)).filter(Boolean)));
  const strength = h("input", { type: "range", id: "smoothing", min: 0, max: 0.95, step: 0.05, value: smoothing,
    oninput: ({ target }) => { smoothing = Number(target.value); draw(); } });
  const each = h("input", { type: "checkbox", id: "each-seed", checked: eachSeed,
    onchange: ({ target }) => { eachSeed = target.checked; draw(); } });
  const hasSeeds = new Set(DATA.runs.map((run) => run.group)).size < DATA.runs.length;
  draw();
  return [
    h("h1", {}, "Training"),
    h("p", { class: "soft" }, "One colour a method on every page. Lines are smoothed (exponential moving average); what was logged is drawn "
      + "faintly behind them. ", hasSeeds ? "Trainings that differ in their seed alone are one line, their mean; the band goes from the lowest to the highest. " : "",
      "Losses of different methods are different formulas: compare their course, not their height. Hover over a line for its run."),
    h("form", { onsubmit: (event) => event.preventDefault() }, h("label", { for: "smoothing" }, "Smoothing", strength),
      hasSeeds ? h("label", { for: "each-seed" }, "Each seed by itself", each) : null),
    methodButtons(Object.keys(DATA.methods), show),
    DATA.runs.length ? null : h("p", {}, "No run has been trained."),
    [...groups].map(([name, runs], i) => h("section", {},
      h("h2", {}, name),
      places[i][1],
      ...runs.filter((run) => run.signs.length).map((run) => h("p", { class: "alarm" }, nodeButton(run.id), " ", run.signs.join(" "))),
      h("details", {}, h("summary", {}, counted(runs.length, "run")),
        plainTable(["run", "method", "seed", "steps", "hyper-parameters"], runs.map((run) => [
          nodeButton(run.id), named(run.method), run.seed,
          run.steps, run.hparams]))))),
  ];
}
