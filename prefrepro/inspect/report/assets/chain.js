// Where a cell comes from: verdicts, samples, run, reference and embeddings, data.

const KINDS = {
  verdict: "Verdicts", preference: "Held-out pairs", sample: "Samples", run: "Training", sft: "Supervised fine-tuning", reward_model: "Reward model",
  reference: "Reference log-probs", reference_rewards: "Rewards of the reference", embeddings: "Prompt embeddings",
  package: "Weights from a package", base: "Base model", data: "Data",
};

// While the dialog is open, the address is its own, to be copied; afterwards it is the page's again.
let addressBelow = null;
const setAddress = (hash) => history.replaceState(null, "", hash || "#");
document.getElementById("dialog").addEventListener("close", ({ target }) => {
  if (target.open) return; // a link in it has opened it again
  if (addressBelow !== null) setAddress(addressBelow);
  addressBelow = null;
});

function showDialog(address, title, ...content) {
  const dialog = document.getElementById("dialog");
  addressBelow ??= location.hash;
  setAddress(`#${encodeURI(address)}`);
  dialog.replaceChildren(
    h("div", { class: "bar" }, h("h2", { id: "dialog-title" }, title),
      h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, "Close")),
    ...content.flat(Infinity).filter(Boolean));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

const facts = (lines) => h("dl", {}, lines.map(([key, text]) => [h("dt", {}, key), h("dd", {}, text)]));

// Everything behind these nodes, each before what it was made of, each once.
function behind(ids) {
  const found = new Set();
  const visit = (id) => {
    if (found.has(id)) return;
    found.add(id);
    Object.values(DATA.nodes[id]?.inputs || {}).forEach(visit);
  };
  ids.forEach(visit);
  const order = Object.keys(KINDS);
  const rank = (id) => order.indexOf(DATA.nodes[id]?.kind);
  return [...found].sort((a, b) => (rank(a) + 99) % 99 - (rank(b) + 99) % 99);
}

function step(id) {
  const node = DATA.nodes[id];
  if (!node) return h("li", {}, h("b", {}, "Not in this folder "), h("span", { class: "id" }, id));
  const hasSamples = DATA.samples.sets.some((set) => set.id === id);
  return h("li", { "data-node": id },
    h("b", {}, `${KINDS[node.kind] || node.kind} `), h("span", { class: "id" }, id),
    facts(node.facts),
    hasSamples ? h("a", { href: `#samples/${id}` }, node.kind === "preference" ? "Read these pairs" : "Read these answers and verdicts") : null,
    h("details", {}, h("summary", {}, `All ${node.everything.length} values that its stage wrote down`), facts(node.everything)));
}

function openCell(table, cell, row, column) {
  const own = [
    ["ours", `${cell.text.value} ${cell.text.interval}`.trim()], ["interval", cell.ci_method], ["counts", cell.text.counts],
    ["design effect", cell.design_effect === null ? null : `${fixed(cell.design_effect)}, prompts of ${cell.n_clusters} topics or sources`],
    ["printed", cell.text.printed || "nothing"], ["status", `${signOf(cell)} ${cell.reason || STATUS[cell.status].says}`],
    ["ours − printed", cell.delta === null ? null : `${fixed(cell.delta)} [${fixed(cell.delta_low)}, ${fixed(cell.delta_high)}]`],
    ["ours − " + cell.baseline, cell.text.difference || null],
    ["within ± " + cell.margin, cell.equivalence],
    ["p against " + cell.baseline, cell.p_vs_baseline === null ? null : `${cell.p_vs_baseline.toPrecision(3)} (Holm ${cell.p_holm.toPrecision(3)})`],
    ["metric", cell.metric], ["judge", cell.judge], ["reading", cell.reading], ["commit", cell.commit],
  ].filter(([, text]) => text);
  const seed = (one, i) => h("details", { open: i === 0 },
    h("summary", {}, h("b", {}, cell.seeds.length > 1 ? `Training ${i + 1} of ${cell.seeds.length}` : "Behind it")),
    h("ol", { class: "steps" }, behind([one.verdict, one.sample, one.run].filter(Boolean)).map(step)));
  showDialog(`cell/${table.id}/${row.key}/${column.key}`, `${table.id}: ${row.label}, ${column.label}`, facts(own),
    cell.seeds.length ? cell.seeds.map(seed) : h("p", {}, "No verdicts of ours stand behind this cell."));
}

function openNode(id) {
  showDialog(`node/${id}`, id, h("ol", { class: "steps" }, behind([id]).map(step)));
}

// Its id, to be chosen where the folder knows it.
const nodeButton = (id) =>
  DATA.nodes[id] ? h("button", { type: "button", class: "plain", onclick: () => openNode(id) }, id) : id;
