// Line charts and forest plots as SVG, drawn at the width that there is so that text keeps its size.

function ticks(low, high, wanted) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) found.push(at);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return found.map((at) => ({ at, text: Math.abs(at) < step / 1e6 ? "0" : at.toFixed(Math.min(digits, 8)).replace("-", "−") }));
}

function extent(values, pad = 0.05) {
  const low = Math.min(...values), high = Math.max(...values);
  const room = (high - low || Math.abs(high) || 1) * pad;
  return [low - room, high + room];
}

// Width of each of `count` charts that share the room in rows, none narrower than `least`, none wider than `most`.
function chartWidth(count = 1, least = 384, most = 900) {
  const room = MAIN.clientWidth;
  const columns = Math.max(1, Math.min(count, Math.floor((room + 24) / (least + 24))));
  return Math.floor(Math.min(most, (room - 24 * (columns - 1)) / columns));
}

function mark(shape, x, y, colour, size = 4) {
  if (shape === "diamond") {
    const d = `M${x} ${y - size - 2}L${x + size + 2} ${y}L${x} ${y + size + 2}L${x - size - 2} ${y}Z`;
    return svg("path", { d, fill: "#fff", stroke: "#000", "stroke-width": 1.5 });
  }
  return svg("circle", { cx: x, cy: y, r: size, fill: colour });
}

// series: [{label, colour, dash, points: [[x, y] …], bars: [[x, low, high] …], faint: points, band: [[x, low, high] …]}]
function lineChart({ title, x, y, series, reference, height = 230, width = chartWidth() }) {
  const edge = { left: 52, right: 12, top: 8, bottom: 40 };
  const points = series.flatMap((one) => [...one.points, ...(one.faint || [])]);
  const bars = series.flatMap((one) => [...(one.bars || []), ...(one.band || [])]);
  const [x0, x1] = extent(points.map((point) => point[0]), 0.02);
  const heights = [...points.map((point) => point[1]), ...bars.flatMap((bar) => [bar[1], bar[2]])];
  const [y0, y1] = extent(reference === undefined ? heights : [...heights, reference]);
  const px = (value) => edge.left + ((value - x0) / (x1 - x0)) * (width - edge.left - edge.right);
  const py = (value) => height - edge.bottom - ((value - y0) / (y1 - y0)) * (height - edge.top - edge.bottom);
  const right = width - edge.right, bottom = height - edge.bottom;
  const labels = [...new Set(series.map((one) => one.label))].join(", ");
  const path = (line) => line.map(([a, b], i) => `${i ? "L" : "M"}${px(a).toFixed(1)} ${py(b).toFixed(1)}`).join("");
  const behind = (one) => svg("g", {},
    one.band?.length ? svg("path", { class: "band", fill: one.colour, opacity: 0.15,
      d: `${path([...one.band.map(([a, low]) => [a, low]), ...one.band.map(([a, , high]) => [a, high]).reverse()])}Z` }) : null,
    one.faint?.length ? svg("path", { class: "faint", d: path(one.faint), fill: "none", stroke: one.colour, opacity: 0.3 }) : null);
  const draw = (one) => {
    const d = path(one.points);
    return svg("g", {},
      svg("title", {}, one.tip || one.label),
      svg("path", { d, fill: "none", stroke: one.colour, "stroke-width": 2, "stroke-dasharray": one.dash || null }),
      (one.bars || []).map(([a, low, high]) =>
        svg("path", { d: `M${px(a)} ${py(low)}V${py(high)}`, stroke: one.colour, "stroke-width": 1.5, opacity: 0.55 })),
      one.bars || one.points.length === 1 ? one.points.map(([a, b]) => mark("dot", px(a), py(b), one.colour)) : null);
  };
  return h("figure", {},
    h("figcaption", {}, title),
    svg("svg", { width, height, role: "img", "aria-label": `${title}: ${y} by ${x}. ${labels}` },
      ticks(y0, y1, 5).map(({ at, text }) => [
        svg("path", { d: `M${edge.left} ${py(at)}H${right}`, class: "grid" }),
        svg("text", { x: edge.left - 6, y: py(at) + 4, "text-anchor": "end" }, text)]),
      reference === undefined ? null
        : svg("path", { d: `M${edge.left} ${py(reference)}H${right}`, stroke: "#000", "stroke-dasharray": "4 3" }),
      svg("path", { d: `M${edge.left} ${edge.top}V${bottom}H${right}`, class: "axis", fill: "none" }),
      ticks(x0, x1, width > 500 ? 8 : 4).map(({ at, text }) =>
        svg("text", { x: px(at), y: bottom + 16, "text-anchor": "middle" }, text)),
      svg("text", { x: (edge.left + right) / 2, y: height - 6, "text-anchor": "middle", class: "soft" }, x),
      series.map(behind), series.map(draw)));
}

// rows: [{label, value, low, high, printed, method, sign, text}]; without a value a row has its label alone.
function forest({ title, x, rows, reference, width = chartWidth() }) {
  const isWide = width >= 520;
  const edge = isWide ? { left: Math.min(330, Math.floor(width * 0.36)), right: 165 } : { left: 10, right: 12 };
  const pitch = isWide ? 28 : 62, bottom = rows.length * pitch + 6, height = bottom + 40;
  const values = rows.flatMap((row) => [row.low, row.high, row.value, row.printed]).filter((v) => v !== null && v !== undefined);
  if (!values.length) return h("figure", {}, h("figcaption", {}, title), h("p", { class: "soft" }, "Nothing measured or printed."));
  const [x0, x1] = extent(reference === undefined ? values : [...values, reference]);
  const px = (value) => edge.left + ((value - x0) / (x1 - x0)) * (width - edge.left - edge.right);
  const fits = (text, room) => (text.length * 7.3 > room ? text.slice(0, Math.max(3, Math.floor(room / 7.3) - 1)) + "…" : text);
  const draw = (row, i) => {
    const y = isWide ? i * pitch + pitch / 2 : i * pitch + 46;
    const { colour } = look(row.method);
    const has = (value) => value !== null && value !== undefined;
    const label = row.sign ? `${row.sign} ${row.label}` : row.label;
    return svg("g", {},
      svg("title", {}, `${row.label}: ${row.text}${has(row.printed) ? `; printed ${row.printed}` : ""}`),
      isWide ? svg("text", { x: 0, y: y + 4 }, fits(label, edge.left - 8)) : svg("text", { x: 0, y: y - 29 }, fits(label, width)),
      svg("text", { x: width, y: isWide ? y + 4 : y - 12, "text-anchor": "end", class: "soft" }, row.text),
      svg("path", { d: `M${edge.left} ${y}H${width - edge.right}`, class: "grid" }),
      has(row.low) ? svg("path", { d: `M${px(row.low)} ${y}H${px(row.high)}`, stroke: colour, "stroke-width": 3 }) : null,
      has(row.printed) ? mark("diamond", px(row.printed), y) : null,
      has(row.value) ? mark("dot", px(row.value), y, colour, 5) : null);
  };
  return h("figure", {},
    h("figcaption", {}, title),
    svg("svg", { width, height, role: "img",
      "aria-label": `${title}. ${rows.map((row) => `${row.label}: ${row.text}`).join("; ")}` },
      reference === undefined ? null
        : svg("path", { d: `M${px(reference)} 0V${bottom}`, stroke: "#000", "stroke-dasharray": "4 3" }),
      rows.map(draw),
      svg("path", { d: `M${edge.left} ${bottom}H${width - edge.right}`, class: "axis" }),
      ticks(x0, x1, isWide ? 6 : 4).map(({ at, text }) => [
        svg("path", { d: `M${px(at)} ${bottom}v4`, class: "axis" }),
        svg("text", { x: px(at), y: bottom + 17, "text-anchor": "middle" }, text)]),
      svg("text", { x: (edge.left + width - edge.right) / 2, y: height - 4, "text-anchor": "middle", class: "soft" }, x)));
}

const stroke = (method) => svg("svg", { width: 26, height: 10, "aria-hidden": "true" },
  svg("path", { d: "M1 5H25", stroke: look(method).colour, "stroke-width": 3, "stroke-dasharray": look(method).dash || null }));

// Buttons that show and hide a method in the charts of a page; they also are the legend.
const hidden = new Set();
function methodButtons(methods, redraw) {
  const button = (method) => h("button", {
    type: "button", "aria-pressed": String(!hidden.has(method)), "data-method": method,
    onclick: () => {
      hidden[hidden.has(method) ? "delete" : "add"](method);
      redraw();
      document.querySelector(`.methods [data-method="${CSS.escape(method)}"]`)?.focus();
    } },
    stroke(method), named(method));
  return h("div", { class: "methods", role: "group", "aria-label": "Methods shown" }, methods.map(button));
}
