"""A table as one small HTML page of its own: no script, no outside file, legible on a telephone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefrepro.tables.escape import html_text
from prefrepro.tables.view import View

_STYLE = """
body{font:16px/1.45 system-ui,sans-serif;margin:1rem auto;max-width:75rem;padding:0 1rem}
body{color:#1a1a1a;background:#fff;overflow-wrap:break-word}
h1{font-size:1.25rem}p{margin:.4rem 0}
p.caution{border-left:4px solid #b45309;padding-left:.6rem;font-weight:600}
table{border-collapse:collapse;width:100%;margin-top:1rem}
th,td{border-bottom:1px solid #ccc;padding:.4rem .6rem;text-align:left;vertical-align:top}
td b{font-size:1.05rem}td span{display:block;font-size:.875rem;color:#444}
@media (max-width:40rem){table,tbody,tr,th,td{display:block}thead{display:none}
tr{border-bottom:2px solid #666;padding:.4rem 0}th,td{border:0;padding:.2rem 0}
td::before{content:attr(data-column);display:block;font-size:.875rem;color:#444}}
""".strip()


def html_page(
    views: Mapping[tuple[str, str], View],
    lines: Sequence[str],
    caution: str,
    title: str,
    row_labels: Mapping[str, str],
    column_labels: Mapping[str, str],
    below: Sequence[Sequence[str]] = (),
) -> str:
    """`lines` become paragraphs, `caution` (which may be empty) stands before them in bold, `below` a small table."""
    paragraphs = [f'<p class="caution">{html_text(caution)}</p>'] if caution else []
    paragraphs += [f"<p>{html_text(line)}</p>" for line in lines]
    head = "".join(f'<th scope="col">{html_text(label)}</th>' for label in column_labels.values())
    rows = [
        f'<tr><th scope="row">{html_text(label)}</th>'
        + "".join(_cell(views.get((row, column)), text) for column, text in column_labels.items())
        + "</tr>"
        for row, label in row_labels.items()
    ]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{html_text(title)}</title><style>{_STYLE}</style></head><body><h1>{html_text(title)}</h1>",
            *paragraphs,
            f"<table><thead><tr><td></td>{head}</tr></thead><tbody>",
            *rows,
            "</tbody></table>",
            *_plain_table(below),
            "</body></html>\n",
        ]
    )


def _plain_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text under a head, folded away until it is asked for."""
    if not rows:
        return []
    head, *body = rows
    lines = [
        "<tr>"
        + "".join(f'<td data-column="{html_text(h)}">{html_text(t)}</td>' for h, t in zip(head, row, strict=True))
        + "</tr>"
        for row in body
    ]
    titles = "".join(f'<th scope="col">{html_text(text)}</th>' for text in head)
    return [
        "<details open><summary>Switches</summary>",
        f"<table><thead><tr>{titles}</tr></thead><tbody>",
        *lines,
        "</tbody></table></details>",
    ]


def _cell(view: View | None, column: str) -> str:
    if view is None:
        return f'<td data-column="{html_text(column)}">–</td>'
    small = [view.interval, f"printed {view.printed}" if view.printed else "", view.counts]
    spans = "".join(f"<span>{html_text(text)}</span>" for text in small if text)
    return f'<td data-column="{html_text(column)}"><b>{html_text(view.value)}</b>{spans}</td>'
