"use strict";
// Elements from plain values. Text reaches the page through text nodes only: it comes from data, models and judges.

const DATA = JSON.parse(document.getElementById("data").textContent);
const MAIN = document.getElementById("main");

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}
const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// A head and rows of text or elements; columns of numbers stand right. Stacked: on a telephone a field is a line.
function plainTable(head, rows, isStacked) {
  const isNumber = head.map((_, i) => rows.length && rows.every((row) => /^[-+−]?[\d.,]*$/.test(String(row[i] ?? ""))));
  const cell = (value, i) => h("td", { class: isNumber[i] ? "number" : null, "data-column": head[i] }, value ?? "");
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": head.filter(Boolean).join(", ") },
    h("table", { class: isStacked ? "plain stack" : "plain" },
      h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell))))));
}

const fixed = (value, digits = 2) => (value === null || value === undefined ? "" : value.toFixed(digits));
const counted = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many || one + "s"}`;
const GREY = { colour: "#5b6472", dash: "" };
const look = (method) => DATA.methods[method] || GREY;
const named = (method) => (method || "no training of ours").replaceAll("_", "-");

const STATUS = {
  consistent: { sign: "✓", says: "consistent with the printed number" },
  differs: { sign: "▲ ▼", says: "differs from the printed number, above (▲) or below (▼)" },
  substitute_judge: { sign: "≈", says: "another judge stands in" },
  not_comparable: { sign: "≠", says: "not comparable: another world than the paper's, or nothing printed" },
  not_run: { sign: "–", says: "not run" },
};
const signOf = (cell) =>
  cell.status === "differs" ? (cell.value > cell.reported ? "▲" : "▼") : STATUS[cell.status].sign;
