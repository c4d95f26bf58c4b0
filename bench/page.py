"""python -m bench.page: put the figures of bench/results/*.csv and of bench/campaign.py into docs/performance.md.

Each stands between `<!-- NAME -->` and `<!-- end NAME -->`; what is around them is written by hand.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.campaign import BOUND, WAYS, campaign, hours
from bench.stamp import RESULTS, STAMP, read_rows
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.files import write_text

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
SHOWN = {
    "train": (
        "vocab", "k", "candidate", "pairs_per_s", "cpu_s_per_pair", "peak_rss_mb", "ratio_to_best_trl",
        "rss_ratio_to_best_trl", "ratio_to_padded", "flops_share", "max_loss_difference",
    ),
    "dag": ("rule", "jobs", "job_s", "job_share", "median_job_s", "start_share", "cpu_s", "cpu_share", "wall_s"),
    "judge": ("concurrency", "replies", "requests_per_s", "client_cpu_ms_per_request"),
    "gpu": (
        "shape", "candidate", "checkpointing", "step_s", "unique_tokens_per_s", "flops_share", "peak_memory_gib",
        "ratio_to_padded_live",
    ),
    "load": ("scenario", "rows", "unit", "seconds", "cpu_s", "per_s", "base_mib", "peak_mib", "lost", "load_average"),
}  # fmt: skip
"""CSV -> the columns that the page shows; the others stay in the file."""
PERCENT = ("job_share", "start_share", "cpu_share", "flops_share")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def of_csv(name: str, results: Path = RESULTS) -> str:
    """A CSV's table, and under it where its figures come from; or how to get them."""
    rows = read_rows(results / f"{name}.csv")
    if not rows:
        return f"Not measured yet: `make bench-{name}`."
    columns = SHOWN[name]
    stamps = sorted({"; ".join(row[column] for column in STAMP) for row in rows})
    shown = [[_cell(column, row[column]) for column in columns] for row in rows]
    return table([column.replace("_", " ") for column in columns], shown) + "\n\n" + "\n".join(stamps)


def _cell(column: str, value: str) -> str:
    return f"{100 * float(value):.1f} %" if column in PERCENT and value else value


def of_campaign() -> str:
    """The forecast's table."""
    runs, references = campaign()
    found = [(way, hours(way, runs, references)) for way in (*WAYS, BOUND)]
    rows = [
        [way.name, way.tokens, f"{100 * way.rate_share:.0f} %", f"{of:.0f}", f"{of / found[-1][1]:.1f}"]
        for way, of in found
    ]
    header = ("way", "tokens", "share of the matrix rate", "H200 hours", "times the bound")
    return f"{len(runs)} preference runs of both papers:\n\n" + table(header, rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "train": lambda: of_csv("train"),
    "dag": lambda: of_csv("dag"),
    "judge": lambda: of_csv("judge"),
    "gpu": lambda: of_csv("gpu"),
    "load": lambda: of_csv("load"),
    "campaign": of_campaign,
}


def with_block(page: str, name: str, block: str) -> str:
    """The page with what stands between the marks of `name` replaced. Raises UserError where it has no such marks."""
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
    if not marked.search(page):
        raise UserError(f"the page has no <!-- {name} --> … <!-- end {name} -->: where are its figures to stand?")
    return marked.sub(lambda found: f"{found[1]}\n{block}\n\n{found[2]}", page)


def main() -> None:
    """The command."""
    argparse.ArgumentParser(prog="python -m bench.page", description=(__doc__ or "").splitlines()[0]).parse_args()
    page = PAGE.read_text(encoding="utf-8")
    for name, block in BLOCKS.items():
        page = with_block(page, name, block())
    write_text(PAGE, page)


if __name__ == "__main__":
    exit_on_user_error(main)
