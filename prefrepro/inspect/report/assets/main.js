// Which page is shown: the part after # in the address. #table/rpo/table1, #cell/rpo/table1/dpo/win-rate, #node/ID of a
// run or another result, #samples/ID of a verdict set; a table has the names that the commands take.

const PAGES = [
  { id: "front", title: "Tables", draw: frontPage },
  { id: "training", title: "Training", draw: trainingPage },
  { id: "judging", title: "Judging", draw: judgingPage },
  { id: "samples", title: "Samples", draw: samplesPage },
  { id: "run", title: "Run", draw: runPage },
  { id: "readings", title: "Readings", draw: readingsPage },
  ...DATA.pages.map((page) => ({ id: page.id, title: page.title, draw: () => writtenPage(page) })),
];
let drawnAt = 0;

function wanted() {
  const hash = (addressBelow ?? location.hash).slice(1);
  try {
    return decodeURIComponent(hash);
  } catch {
    return hash; // a lone %
  }
}

const tableNamed = (name) => DATA.tables.find((one) => [one.id, one.id.replace("/", "_"), one.id.replace(/^rpo\//, "")].includes(name));

// What an address opens: a page, what is drawn in it, and what is opened or said above it.
function opened(address) {
  const [id, ...rest] = address.split("/"), below = rest.join("/");
  const page = PAGES.find((one) => one.id === id);
  if (page?.id === "samples" && below && !DATA.samples.sets.some((set) => set.id === below)) return { page, content: page.draw(""), missing: below };
  if (page || !address) return { page: page || PAGES[0], content: (page || PAGES[0]).draw(below) };
  if (id === "node") {
    const isRun = DATA.runs.some((run) => run.id === below);
    const under = PAGES.find((one) => one.id === (isRun ? "training" : "run"));
    return { page: under, content: under.draw(""), ...(DATA.nodes[below] ? { then: () => (setAddress(`#${under.id}`), openNode(below)) } : { missing: below }) };
  }
  const table = id === "table" || id === "cell" ? null : tableNamed(address);
  if (table || id === "table") return { page: PAGES[0], content: tablePage((table || tableNamed(below))?.id) };
  const of = id === "cell" && DATA.tables.find((one) => below.startsWith(`${one.id}/`));
  if (!of) return { page: PAGES[0], content: PAGES[0].draw(""), missing: address };
  const cell = of.cells.find((one) => below === `${of.id}/${one.row}/${one.column}`);
  const then = () => {
    const button = MAIN.querySelector(`[data-cell="${CSS.escape(below)}"]`);
    button.scrollIntoView({ block: "center" });
    setAddress(`#${encodeURI(`table/${of.id}`)}`);
    button.click();
  };
  return { page: PAGES[0], content: tablePage(of.id), ...(cell ? { then } : { missing: below }) };
}

function show() {
  const { page, content, then, missing } = opened(wanted());
  drawnAt = window.innerWidth;
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.hash === `#${page.id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const note = missing ? h("p", { class: "caution", role: "status" }, `This report holds no ${missing}.`) : null;
  MAIN.replaceChildren(...[note, content].flat(Infinity).filter(Boolean));
  document.title = `${MAIN.querySelector("h1")?.textContent || page.title} – ${DATA.meta.folder}`;
  return then;
}

document.getElementById("subtitle").textContent =
  `Report of results/${DATA.meta.folder}: RPO is Relative Preference Optimization. Readable offline, as one file.`;
document.getElementById("nav").append(...PAGES.map((page) => h("a", { href: `#${page.id}` }, page.title)));
window.addEventListener("hashchange", () => {
  if (location.hash === "#main") return MAIN.focus();
  addressBelow = null;
  document.getElementById("dialog").close();
  const then = show();
  window.scrollTo(0, 0);
  then?.();
});
window.addEventListener("resize", () => {
  if (window.innerWidth !== drawnAt && !MAIN.querySelector("#samples")) show();
});
show()?.();
