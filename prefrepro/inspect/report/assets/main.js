// Which page is shown: the part after # in the address.

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

function show() {
  const [id, ...rest] = decodeURIComponent(location.hash.slice(1)).split("/");
  const page = PAGES.find((one) => one.id === id) || PAGES[0];
  const isTable = id === "table";
  drawnAt = window.innerWidth;
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.hash === `#${isTable ? "front" : page.id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const content = isTable ? tablePage(rest.join("/")) : page.draw(rest.join("/"));
  MAIN.replaceChildren(...content.flat(Infinity).filter(Boolean));
  document.title = `${MAIN.querySelector("h1")?.textContent || page.title} – ${DATA.meta.folder}`;
}

document.getElementById("subtitle").textContent =
  `Report of results/${DATA.meta.folder}: RPO is Relative Preference Optimization. Readable offline, as one file.`;
document.getElementById("nav").append(...PAGES.map((page) => h("a", { href: `#${page.id}` }, page.title)));
window.addEventListener("hashchange", () => {
  if (location.hash === "#main") return MAIN.focus();
  show();
  window.scrollTo(0, 0);
});
window.addEventListener("resize", () => {
  if (window.innerWidth !== drawnAt && !MAIN.querySelector("#samples")) show();
});
show();
