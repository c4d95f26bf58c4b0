// The front page, and a page for each table.

const MARK = "†";

function cellButton(table, cell, row, column) {
  const printed = cell.text.printed ? `printed ${cell.text.printed}` : "nothing printed";
  const says = `${row.label}, ${column.label}: ${cell.text.value} ${cell.text.interval}; ${printed}; ${STATUS[cell.status].says}`;
  return h("button", {
    type: "button", class: `cell ${cell.status}`, "aria-label": `${says}. Where it comes from`, title: cell.reason,
    "data-cell": `${table.id}/${row.key}/${column.key}`, onclick: () => openCell(table, cell, row, column) },
    h("span", { class: "sign" }, signOf(cell)), h("b", {}, cell.text.value),
    cell.text.interval ? h("small", {}, cell.text.interval) : null,
    h("small", {}, printed));
}

function matrix(table) {
  if (table.settings) return plainTable(table.settings.head, table.settings.rows);
  const at = new Map(table.cells.map((cell) => [`${cell.row}\n${cell.column}`, cell]));
  const data = (row, column) => {
    const cell = at.get(`${row.key}\n${column.key}`);
    return h("td", { "data-column": column.label }, cell ? cellButton(table, cell, row, column) : "–");
  };
  return h("div", { class: "scroll" }, h("table", { class: "matrix" },
    h("thead", {}, h("tr", {}, h("td", {}), table.columns.map((column) => h("th", { scope: "col" }, column.label)))),
    h("tbody", {}, table.rows.map((row) =>
      h("tr", {}, h("th", { scope: "row" }, row.label), table.columns.map((column) => data(row, column)))))));
}

function statusLegend(cells) {
  const count = (status) => cells.filter((cell) => cell.status === status).length;
  return h("ul", { class: "legend", "aria-label": "What the signs mean" },
    Object.entries(STATUS).filter(([status]) => count(status)).map(([status, { sign, says }]) =>
      h("li", { class: status }, h("b", {}, sign), ` ${says}: ${counted(count(status), "cell")}`)));
}

const alarms = (table) => (table.alarms || []).map((text) => h("p", { class: "alarm" }, h("b", {}, "Alarm. "), text));

// Every two rows of a column, or columns of a row: ranks that the intervals leave open, and the differences.
function allPairs(table) {
  if (!table.pairs.length) return null;
  const label = (kind, key) => table[kind].find((one) => one.key === key)?.label || key;
  const groups = new Map();
  for (const pair of table.pairs) {
    const at = `${label(pair.compared === "rows" ? "columns" : "rows", pair.place)}\n${pair.metric}`;
    groups.set(at, [...(groups.get(at) || []), pair]);
  }
  const group = ([at, pairs]) => {
    const ranks = new Map(pairs.flatMap((pair) => [[pair.first, pair.first_rank], [pair.second, pair.second_rank]]));
    const apart = pairs.filter((pair) => pair.diff_low > 0 || pair.diff_high < 0).length;
    const name = (pair, side) => label(pair.compared, pair[side]);
    return [
      h("h3", {}, at.split("\n")[0]),
      h("p", {}, `Told apart: ${apart || "none"} of ${counted(pairs.length, "pair")}. Ranks: `,
        [...ranks].map(([key, rank]) => `${label(pairs[0].compared, key)} ${rank}`).join("; "), "."),
      h("details", { open: pairs.length <= 10 }, h("summary", {}, "All differences"),
        plainTable(["first", "second", "first − second", "low", "high", "p", "p (Holm, table)", "p (Holm, paper)", "interval"],
          pairs.map((pair) => [name(pair, "first"), name(pair, "second"), fixed(pair.diff), fixed(pair.diff_low), fixed(pair.diff_high),
            small(pair.p), small(pair.p_holm_table), small(pair.p_holm_paper), pair.diff_method]))),
    ];
  };
  return [
    h("h2", {}, "All pairs"),
    h("p", { class: "soft" }, "Differences in points; the intervals of one heading hold all together with 95 % confidence. A rank such as "
      + "1–3 is the best and the worst place that they leave open. With one training each, trainings are compared, not methods."),
    [...groups].map(group),
  ];
}

function frontPage() {
  const cells = DATA.tables.flatMap((table) => table.cells);
  const { meta } = DATA;
  const sum = (key) => DATA.run.jobs.reduce((total, job) => total + job[key], 0);
  const commits = [...new Set(cells.map((cell) => cell.commit).filter(Boolean))];
  const hasCaution = DATA.tables.some((table) => table.caution);
  const isMarked = cells.some((cell) => cell.text.value.includes(MARK));
  return [
    h("h1", {}, "What was reproduced, and how sure it is"),
    h("p", {}, `${counted(DATA.tables.length, "table")}, ${counted(cells.length, "cell")}, `
      + `${counted(DATA.runs.length, "training")}, ${counted(DATA.samples.sets.length, "verdict set")}. `
      + `Scale ${meta.scale}: ${meta.description}. Reading: ${meta.reading}.`),
    h("p", { class: "soft" }, `${(sum("s") / 3600).toFixed(2)} hours of jobs, ${sum("gpu_h").toFixed(2)} GPU-hours, `
      + `$${sum("cost_usd").toFixed(2)} of judging. `, commits.length ? `Commit ${commits.map((c) => c.slice(0, 10)).join(", ")}.` : ""),
    hasCaution ? h("p", { class: "caution" }, [...new Set(DATA.tables.map((t) => t.caution).filter(Boolean))].join(" ")) : null,
    statusLegend(cells),
    h("p", { class: "soft" }, "Each cell: our number, its 95 % interval, the number in the paper. ",
      isMarked ? `${MARK}: differs from the table's baseline over training seeds, Holm-adjusted p < 0.05. ` : "",
      "Choose a cell to see where it comes from."),
    DATA.not_made.length ? h("p", { class: "soft" }, "Not made yet: ", DATA.not_made.map((target, i) => [i ? ", " : "", h("code", {}, `snakemake ${target}`)]), ".") : null,
    DATA.tables.map((table) => h("section", {},
      h("h2", {}, h("a", { href: `#table/${table.id}` }, table.name), ` ${table.title}`),
      matrix(table), alarms(table))),
  ];
}

function tablePage(id) {
  const table = DATA.tables.find((one) => one.id === id);
  if (!table) return [h("h1", {}, "No such table")];
  const head = [
    h("h1", {}, `${table.name}: ${table.title}`),
    table.caution ? h("p", { class: "caution" }, table.caution) : null,
  ];
  const notes = table.notes.map((note) => h("p", { class: "soft" }, note));
  if (table.settings) return [...head, ...notes, matrix(table)];
  const label = (row) => table.rows.find((one) => one.key === row).label;
  const column = (cell) => table.columns.find((one) => one.key === cell.column).label;
  return [
    ...head,
    h("p", { class: "soft" }, `${table.measures}. Protocol: ${table.protocol}. Judge: ${table.judges.join(", ")}`
      + `${table.judge_is_substitute ? " (stands in for the paper's judge)" : ""}.`),
    ...notes,
    statusLegend(table.cells),
    matrix(table),
    alarms(table),
    h("h2", {}, "Forest plot"),
    h("p", { class: "soft" }, "Dot and line: our number and its 95 % interval, in the method's colour. Diamond: the printed number."),
    h("div", { class: "charts" }, table.columns.map((one) => forest({
      title: one.label, x: one.measure, width: chartWidth(table.columns.length),
      rows: table.cells.filter((cell) => cell.column === one.key).map((cell) => ({
        label: label(cell.row), method: cell.method, value: cell.value, low: cell.ci_low, high: cell.ci_high,
        printed: cell.reported, sign: signOf(cell), text: `${cell.text.value} ${cell.text.interval}` })) }))),
    allPairs(table),
    byLength(table),
    h("h2", {}, "All numbers"),
    plainTable(
      ["row", "column", "ours", "low", "high", "interval", "printed", "ours − printed", "ours − baseline", "low", "high", "test", "within ± margin", "n", "ties", "invalid", "seeds", "design effect", "p", "p (Holm)", "status"],
      table.cells.map((cell) => [label(cell.row), column(cell), fixed(cell.value), fixed(cell.ci_low), fixed(cell.ci_high),
        cell.ci_method || "", fixed(cell.reported), fixed(cell.delta), fixed(cell.diff), fixed(cell.diff_low), fixed(cell.diff_high),
        cell.diff_method || "", cell.equivalence || "", cell.n, cell.n_tie, cell.n_invalid, cell.n_seeds, fixed(cell.design_effect),
        small(cell.p_vs_baseline), small(cell.p_holm), `${signOf(cell)} ${cell.reason || cell.status}`])),
  ];
}

const small = (p) => (p === null || p === undefined ? "" : p < 0.0001 ? "< 0.0001" : p.toFixed(4));

function byLength(table) {
  const entries = table.by_length.filter((entry) => entry.bins.length);
  if (!entries.length) return null;
  const count = new Set(entries.map((entry) => entry.column)).size;
  const chart = (column) => {
    const own = entries.filter((entry) => entry.column === column.key);
    if (!own.length) return null;
    const isRating = own[0].metric === "mt_bench";
    return lineChart({
      title: column.label, width: chartWidth(count, 384, 700), x: "words of the answer (middle of each fifth)", y: isRating ? "mean rating" : "win rate in percent",
      series: own.map((entry) => ({
        label: table.rows.find((row) => row.key === entry.row).label, ...look(entry.method),
        points: entry.bins.map((bin) => [(bin.low + bin.high) / 2, bin.value]),
        bars: entry.bins.map((bin) => [(bin.low + bin.high) / 2, ...bin.ci]) })) });
  };
  const methods = [...new Set(entries.map((entry) => entry.method).filter(Boolean))].sort();
  return [
    h("h2", {}, "Win rate by response length"),
    h("p", { class: "soft" }, "Answers of a column in fifths by their number of words; bars are 95 % intervals. A line that "
      + "rises says that the judge, or the world, likes what is long."),
    h("div", { class: "methods" }, methods.map((method) => h("span", { class: "chip" }, stroke(method), named(method)))),
    h("div", { class: "charts" }, table.columns.map(chart)),
  ];
}
