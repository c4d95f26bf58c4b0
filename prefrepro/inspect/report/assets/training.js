// Training curves of every run, one colour a method.

const STAGES = { run: "Alignment", sft: "Supervised fine-tuning", reward_model: "Reward model" };

function trainingPage() {
  const groups = new Map();
  for (const run of DATA.runs) {
    const key = `${STAGES[run.stage] || run.stage}: ${run.dataset}, ${run.model}`;
    groups.set(key, [...(groups.get(key) || []), run]);
  }
  const tip = (run) => `${run.id} (seed ${run.seed})`;
  const width = chartWidth(4, 290);
  const chart = (runs, metric, title) => {
    const series = runs.filter((run) => run.curves[metric] && !hidden.has(run.method)).map((run) => ({
      label: named(run.method), tip: tip(run), ...look(run.method), points: run.curves[metric] }));
    return series.length ? lineChart({ title, width, x: "step", y: title, series }) : null;
  };
  return [
    h("h1", {}, "Training"),
    h("p", { class: "soft" }, "One line a run, one colour a method on every page; seeds of a method share it. Losses of different "
      + "methods are different formulas: compare their course, not their height. Hover over a line for its run."),
    methodButtons(Object.keys(DATA.methods), show),
    DATA.runs.length ? null : h("p", {}, "No run has been trained."),
    [...groups].map(([name, runs]) => h("section", {},
      h("h2", {}, name),
      h("div", { class: "charts" },
        Object.entries(DATA.meta.metrics).map(([metric, title]) => chart(runs, metric, title))),
      ...runs.filter((run) => run.signs.length).map((run) => h("p", { class: "alarm" }, nodeButton(run.id), " ", run.signs.join(" "))),
      h("details", {}, h("summary", {}, counted(runs.length, "run")),
        plainTable(["run", "method", "seed", "steps", "hyper-parameters"], runs.map((run) => [
          nodeButton(run.id), named(run.method), run.seed,
          run.steps, run.hparams]))))),
  ];
}
