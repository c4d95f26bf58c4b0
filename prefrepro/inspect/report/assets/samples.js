// Prompts, both answers, the verdict and the judge's raw reply; searched and filtered.

const AT_ONCE = 20;
const VERDICTS = { win: "✓ win", loss: "✗ loss", tie: "= tie", invalid: "? invalid", rated: "★ rated" };
const SHOWN_FIRST = { candidate_first: "answer shown first", baseline_first: "baseline shown first", turn_1: "first turn", turn_2: "second turn" };

function samplesPage(setId) {
  const { sets, texts } = DATA.samples;
  const total = sets.reduce((sum, set) => sum + set.total, 0);
  const kept = sets.reduce((sum, set) => sum + set.rows.length, 0);
  const words = [...new Set(sets.flatMap((set) => set.rows.map((row) => row[2])))].sort();
  const choose = h("select", { id: "set" }, h("option", { value: "" }, `all ${counted(sets.length, "verdict set")}`),
    sets.map((set) => h("option", { value: set.id, selected: set.id === setId }, set.id)));
  const verdict = h("select", { id: "verdict" }, h("option", { value: "" }, "every verdict"),
    words.map((word) => h("option", { value: word }, VERDICTS[word] || word)));
  const search = h("input", { type: "search", id: "search", autocomplete: "off" });
  const count = h("p", { id: "count", "aria-live": "polite" });
  const list = h("div", { id: "samples" });
  const more = h("button", { type: "button", class: "plain", onclick: () => add() }, "Show more");
  let found = [], next = 0;

  const add = () => {
    list.append(...found.slice(next, next + AT_ONCE).map(sample));
    next += AT_ONCE;
    more.hidden = next >= found.length;
  };
  const update = () => {
    const query = search.value.trim().toLowerCase();
    const matches = query ? new Set(texts.flatMap((text, i) => (text.toLowerCase().includes(query) ? [i] : []))) : null;
    found = sets.filter((set) => !choose.value || set.id === choose.value).flatMap((set) => set.rows
      .filter((row) => (!verdict.value || row[2] === verdict.value) && (!matches || row.slice(4).some((i) => matches.has(i)) || row[0].startsWith(query)))
      .map((row) => [set, row]));
    count.textContent = `${counted(found.length, "verdict")} found.`;
    list.replaceChildren();
    next = 0;
    add();
  };
  const sample = ([set, [prompt, order, word, score, asked, answer, baseline, reply]]) => {
    const said = (title, i) => h("div", {}, h("h3", {}, title), h("div", { class: "said" }, i < 0 ? "(not there)" : texts[i]));
    return h("article", { class: word },
      h("h2", {}, VERDICTS[word] || word, score === null || word === "win" || word === "loss" ? "" : ` ${score}`),
      h("p", { class: "soft" }, `${SHOWN_FIRST[order] || order} · prompt `, h("span", { class: "id" }, prompt), " · ",
        nodeButton(set.id)),
      said("Prompt", asked),
      h("div", { class: "answers" }, said("Answer", answer), baseline < 0 ? null : said("Baseline", baseline)),
      h("details", { open: (texts[reply] || "").length < 200 }, h("summary", {}, "The judge's raw reply"),
        h("div", { class: "said" }, reply < 0 ? "(none)" : texts[reply])));
  };
  for (const input of [choose, verdict, search]) input.addEventListener("input", update);
  update();
  return [
    h("h1", {}, "Samples"),
    h("p", { class: "soft" }, kept < total
      ? `This page holds ${kept.toLocaleString("en")} of ${counted(total, "verdict")}, a share of each verdict set, so that it stays small: invalid `
        + "ones first, then prompts in the order of their hashes. All stand in samples/ and verdicts/ beside it."
      : `All ${counted(total, "verdict")} of this folder.`),
    h("form", { onsubmit: (event) => event.preventDefault() },
      h("label", { for: "set" }, "Verdict set", choose), h("label", { for: "verdict" }, "Verdict", verdict),
      h("label", { for: "search" }, "Text in prompt, answers or reply", search)),
    count, list, more,
  ];
}
