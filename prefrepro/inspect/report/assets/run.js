// Judging, the run itself (graph of its nodes, time line, costs), readings, and the pages that other commands wrote.

function judgingPage() {
  const shown = DATA.position.filter((one) => one.first_shown_pct !== null), again = DATA.position.filter((one) => one.n_repeated);
  const rows = shown.map((one) => ({
    label: one.id, method: one.method, value: one.first_shown_pct, low: one.first_shown_ci_low, high: one.first_shown_ci_high,
    text: `${fixed(one.first_shown_pct, 1)} [${fixed(one.first_shown_ci_low, 1)}, ${fixed(one.first_shown_ci_high, 1)}]` }));
  const judges = [...new Set(shown.map((one) => one.judge))];
  const ends = (one, name) => (one[`${name}_pct`] === null ? "" : `${fixed(one[`${name}_pct`], 1)} [${fixed(one[`${name}_ci_low`], 1)}, ${fixed(one[`${name}_ci_high`], 1)}]`);
  return [
    h("h1", {}, "Judges and position bias"),
    h("h2", {}, "Judges used"),
    plainTable(["judge", "kind", "model asked", "model served", "verdict sets", "verdicts", "invalid", "USD", "prompts (SHA-256)", "note"],
      DATA.judges.map((one) => [one.name, one.kind, one.asked.join(", "), one.served.join(", "), one.sets, one.verdicts, one.invalid,
        one.cost_usd.toFixed(2), one.prompts.map((p) => p.slice(0, 10)).join(", "), one.note]), true),
    h("h2", {}, "Position bias"),
    h("p", { class: "soft" }, "Share of decided verdicts that went to the answer shown first, per verdict set, with its 95 % interval "
      + "over prompts. No bias: the expected share, 50 (dashed) where both orders are as frequent. Balanced: the candidate's "
      + "win rate with both places weighing alike. Ratings have no position."),
    rows.length ? null : h("p", {}, "No pairwise verdicts."),
    judges.map((judge) => forest({ title: judge, x: "first shown wins, percent", reference: 50, width: chartWidth(),
      rows: rows.filter((_, i) => shown[i].judge === judge) })),
    rows.length ? h("details", {}, h("summary", {}, "All numbers"), plainTable(
      ["verdict set", "verdicts", "first shown %", "expected %", "balanced win %", "ties %", "invalid %", "orders disagree %"],
      shown.map((one) => [one.id, one.n_verdicts, fixed(one.first_shown_pct), fixed(one.first_shown_null_pct), fixed(one.balanced_win_pct), fixed(one.tie_pct), fixed(one.invalid_pct), fixed(one.orders_disagree_pct)]))) : null,
    h("h2", {}, "The judge against itself"),
    h("p", { class: "soft" }, "The same request asked again. Flips: share of pairs of replies to one request that name another verdict or "
      + "rating. Judge's share: the part of the variance of the mean score that its changes of mind make; the intervals of all tables "
      + "hold it already. 95 % intervals over requests. A reported verdict is always the first reply."),
    again.length ? plainTable(["verdict set", "requests asked again", "times in all", "flips %", "variance of a score", "judge's share %"],
      again.map((one) => [one.id, one.n_repeated, one.n_repeats, ends(one, "flip"), fixed(one.judge_variance, 4), ends(one, "judge_share")]))
      : h("p", {}, "No request was asked again; --config repeat='{share: 0.1, times: 3}' does so."),
  ];
}

function graph() {
  const nodes = { ...DATA.nodes };
  for (const table of DATA.tables) {
    const verdicts = table.cells.flatMap((cell) => cell.seeds.map((seed) => seed.verdict)).filter((id) => nodes[id]);
    nodes[table.id] = { kind: "table", inputs: Object.fromEntries(verdicts.map((id) => [id, id])) };
  }
  const kinds = ["data", "embeddings", "package", "base", "sft", "reference", "reference_rewards", "reward_model", "run", "sample", "verdict", "preference", "table"];
  const columns = kinds.map((kind) => Object.keys(nodes).filter((id) => nodes[id].kind === kind)).filter((ids) => ids.length);
  const pitch = Math.max(96, Math.floor((MAIN.clientWidth - 20) / columns.length)), step = 12, top = 44;
  const tallest = Math.max(...columns.map((ids) => ids.length));
  const width = pitch * columns.length + 10, height = top + tallest * step + 10, place = new Map();
  columns.forEach((ids, column) => ids.forEach((id, i) =>
    place.set(id, [column * pitch + 4, top + (i + 0.5) * (tallest / ids.length) * step])));
  const edges = Object.entries(nodes).flatMap(([id, node]) => Object.values(node.inputs).map((input) => {
    const [from, to] = [place.get(input), place.get(id)];
    if (!from || !to) return null;
    const [x0, x1] = [from[0] + 30, to[0]], middle = (x0 + x1) / 2;
    return svg("path", { d: `M${x0} ${from[1]}C${middle} ${from[1]} ${middle} ${to[1]} ${x1} ${to[1]}`, fill: "none", stroke: "#9aa3b0", "stroke-opacity": 0.45 });
  }));
  const box = (id) => {
    const isTable = nodes[id].kind === "table", [x, y] = place.get(id);
    return svg("g", { class: "node", onclick: () => (isTable ? (location.hash = `#table/${id}`) : openNode(id)) },
      svg("title", {}, id),
      svg("rect", { x, y: y - 4, width: 30, height: 8, rx: 2, fill: isTable ? "#000" : look(nodes[id].method).colour }));
  };
  const names = columns.map((ids, column) => {
    const kind = nodes[ids[0]].kind;
    return [svg("text", { x: column * pitch + 4, y: 14 }, kind.replace("_", " ")), svg("text", { x: column * pitch + 4, y: 31, class: "soft" }, String(ids.length))];
  });
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Graph of the run" },
    svg("svg", { width, height, role: "img", "aria-label": `What was made of what: ${columns.map((ids) => `${ids.length} ${nodes[ids[0]].kind}`).join(", ")}` },
      edges, names, [...place.keys()].map(box)));
}

function timeLine() {
  const { jobs } = DATA.run, rules = [...new Set(jobs.map((job) => job.rule))];
  const last = Math.max(...jobs.map((job) => job.end)), width = MAIN.clientWidth, isWide = width > 600;
  const left = isWide ? 150 : 0, right = width - 10, px = (s) => left + (s / last) * (right - left);
  const parts = [];
  let y = 10;
  for (const rule of rules) {
    const lanes = [];
    if (!isWide) y += 16;
    parts.push(svg("text", { x: 0, y: isWide ? y + 11 : y - 3 }, `${rule} (${jobs.filter((job) => job.rule === rule).length})`));
    for (const job of jobs.filter((one) => one.rule === rule)) {
      let lane = lanes.findIndex((end) => end <= job.start + 0.5);
      if (lane < 0) lane = lanes.length;
      lanes[lane] = job.end;
      parts.push(svg("g", { class: "node", onclick: () => (DATA.nodes[job.id] ? openNode(job.id) : null) },
        svg("title", {}, `${job.id}: ${job.s.toFixed(1)} s from ${job.start.toFixed(0)} s`),
        svg("rect", { x: px(job.start), y: y + lane * 14, width: Math.max(2, px(job.end) - px(job.start)), height: 12, fill: look(DATA.nodes[job.id]?.method).colour })));
    }
    y += Math.max(1, lanes.length) * 14 + 8;
    parts.push(svg("path", { d: `M0 ${y - 4}H${right}`, class: "grid" }));
  }
  return svg("svg", { width, height: y + 40, role: "img", "aria-label": `When each of ${jobs.length} jobs ran, by rule` }, parts,
    ticks(0, last, isWide ? 8 : 4).map(({ at, text }) => [
      svg("path", { d: `M${px(at)} ${y}v4`, class: "axis" }), svg("text", { x: px(at), y: y + 18, "text-anchor": at ? "middle" : "start" }, text)]),
    svg("text", { x: (left + right) / 2, y: y + 36, "text-anchor": "middle", class: "soft" }, "seconds since the first job started"));
}

function runPage() {
  const { jobs, is_dated: isDated } = DATA.run;
  const rules = [...new Set(jobs.map((job) => job.rule))];
  const line = (name, of) => [name, of.length, ...["s", "gpu_h", "cost_usd"].map((key) => of.reduce((sum, job) => sum + job[key], 0).toFixed(2))];
  return [
    h("h1", {}, "The run"),
    h("h2", {}, "What was made of what"),
    h("p", { class: "soft" }, "A box is a job's result, data on the left, tables on the right; choose one to see what it was made of. Colours are those of the methods."
      + (DATA.meta.unrecorded ? " Of results without a record, not all inputs are known." : "")),
    Object.keys(DATA.nodes).length ? graph() : h("p", {}, "Nothing but tables is in this folder."),
    h("h2", {}, "When, and what it took"),
    jobs.length === 0 ? h("p", {}, "No benchmarks are in this folder.") : isDated
      ? [h("p", { class: "soft" }, "A job ends when its benchmark was written; pauses between calls of snakemake show as gaps."), timeLine()]
      : h("p", { class: "soft" }, "All benchmarks bear nearly the same date, as in a copy without dates: what ran when is not known, only how long."),
    jobs.length ? plainTable(["rule", "jobs", "seconds", "GPU-hours", "USD"],
      [...rules.map((rule) => line(rule, jobs.filter((job) => job.rule === rule))), line("in all", jobs)]) : null,
    jobs.length ? h("details", {}, h("summary", {}, "Every job"), plainTable(["rule", "job", isDated ? "start, s" : "", "seconds", "GPU-hours", "USD"],
      jobs.map((job) => [job.rule, nodeButton(job.id), isDated ? job.start.toFixed(1) : "", job.s.toFixed(2), job.gpu_h.toFixed(2), job.cost_usd.toFixed(2)]))) : null,
  ];
}

function readingsPage() {
  const { meta } = DATA;
  return [
    h("h1", {}, "Readings"),
    h("p", {}, `Where a paper's text and its released code differ, reading “${meta.reading}” is followed, unless a switch says otherwise. `
      + `Protocol of pairwise judging: ${meta.protocol}. `, meta.config.length ? ["Settings: ", h("code", {}, meta.config.join(" ")), "."] : "All settings are the default."),
    meta.unknown ? h("p", { class: "caution" }, `${counted(meta.unknown, "result")} of this folder ${meta.unknown === 1 ? "is" : "are"} not in the plan of these settings and this code: `
      + "code or settings have changed since. What made them stands in their own chain; the switches below are those of the plan.") : null,
    Object.entries(DATA.switches).map(([paper, switches]) => [h("h2", {}, paper.toUpperCase()),
      plainTable(["switch", "what it decides", "side", "what that means"], switches.map((one) => [one.name, one.about, one.side, one.says]), true)]),
  ];
}

function writtenPage(page) {
  const block = (one) => {
    if (one.kind === "heading") return h(`h${Math.min(3, one.level)}`, {}, one.text);
    if (one.kind === "table") return plainTable(one.head, one.rows);
    if (one.kind === "list") return h("ul", {}, one.items.map((item) => h("li", {}, item)));
    if (one.kind === "image") return h("img", { src: one.source, alt: one.alt });
    return h("p", {}, one.text);
  };
  return page.blocks.map(block);
}
