"""What makes a data set usable here: its file in config/datasets, its lines in the scale, and a small table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from prefrepro.errors import UserError
from prefrepro.files import ROOT, show, write_text
from prefrepro.inspect.dataset.opened import Opened
from prefrepro.inspect.dataset.report import PARTS
from prefrepro.specs.values import NAME

BATCH = 32
"""Prompts that are sampled together: a multiple of them is answered, or fewer than one batch"""
MOST = 256
HELD_OUT = """\
metric: accuracy_pct           # share of held-out pairs that are ranked as labelled; no judge, nothing sampled
evaluation: held-out
columns:
  accuracy: {label: Held-out accuracy}
"""
ANSWERS = """\
metric: win_rate_pct           # answers to held-out prompts beside good completions; wants a judge
evaluation: [[evaluation]]
columns:
  win-rate: {label: Win rate}
"""
ROWS = {
    "pairs": "dpo: {label: DPO, method: dpo, hparams: {beta: 0.1}}",
    "ranked": "dpo: {label: DPO, method: dpo, hparams: {beta: 0.1}, pairs: best_vs_worst}",
    "unpaired": "kto: {label: KTO, method: kto, hparams: {beta: 0.1}}",
}


def written(data: Opened, found: Mapping[str, Any], name: str, scale: str, values: Mapping[str, Any]) -> list[Path]:
    """Write the three files; which they are, in the order in which to read them. `values`: the scale's.

    Raises UserError for a name that cannot be one or is taken, and for data too small to hold prompts out.
    """
    if not NAME.fullmatch(name):
        raise UserError(f'--write is "{name:.80}"; expected letters, digits, ".", "_" and "-"')
    paper = (values.get("papers") or ["rpo"])[0]
    table = ROOT / "paper_tables" / paper / f"{name.replace('-', '_').replace('.', '_')}.yaml"
    dataset = ROOT / "config" / "datasets" / f"{name}.yaml"
    scale_file = ROOT / "config" / "scales" / f"{scale}.yaml"
    for path in (dataset, table):
        if path.exists():
            raise UserError(f"{show(path)} exists. Choose another name for --write, or remove it")
    if name in values["datasets"]:
        raise UserError(
            f"{show(scale_file)} has a data set {name}. Choose another name for --write, or remove its line"
        )
    held_out = found["held_out_prompts"]
    n = min(MOST, held_out // BATCH * BATCH if held_out >= BATCH else held_out)
    if not n:
        raise UserError(
            f"{data.given}: {found['unique_prompts']} unique prompts, and the held-out share of "
            f"{PARTS['eval']} has none of them. Expected enough to hold some out"
        )
    lines = scale_file.read_text(encoding="utf-8")
    for section, line in (("datasets", f"{name}: {name}"), ("prompt_sets", f"{name}: {{n: {n}}}")):
        lines = _with_line(lines, section, line)
    write_text(dataset, _dataset(data, found))
    write_text(scale_file, lines)
    write_text(table, _table(data, name, scale, next(iter(values["models"])), paper))
    return [dataset, scale_file, table]


def _dataset(data: Opened, found: Mapping[str, Any]) -> str:
    is_whole = not found["bad_rows"]
    several = len(data.files) > 1 or "repo" in data.place
    values = data.keys | data.place | {"on_bad_row": "stop" if is_whole else "skip"}
    values |= {"splits": {"train": None}} if several else {}
    read = f"{found['rows']:,} of {found['records']:,} rows can be read"
    parts = ", ".join(f"{part}: {share}" for part, share in PARTS.items())
    text = "".join(f"{key}: {_flow(value)}\n" for key, value in values.items())
    return f"# {data.title}. By `prefrepro data inspect`: {read}.\n{text}parts: {{{parts}}}   # of unique prompts\n"


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return text.strip().removesuffix("...").strip()


def _table(data: Opened, name: str, scale: str, model: str, paper: str) -> str:
    answers = ANSWERS.replace("[[evaluation]]", "answers" if paper == "laptop" else "dialogue")
    return f"""\
title: First look at {name}
where: ours
scales: [{scale}]
model: {model}
dataset: {name}
baseline: sft
{answers if data.shape == "unpaired" else HELD_OUT}rows:
  sft: {{label: SFT, method: sft}}
  {ROWS[data.shape]}
"""


def _with_line(text: str, section: str, line: str) -> str:
    """The YAML with a line more below a section, which is made where it is not there; the rest stays as it was."""
    lines = text.splitlines()
    if f"{section}:" in lines:
        lines.insert(lines.index(f"{section}:") + 1, f"  {line}")
    else:
        begun = next((at for at, one in enumerate(lines) if one.startswith(f"{section}:")), None)
        if begun is None:
            lines.append(f"{section}:\n  {line}")
        elif (head := lines[begun].split("#")[0].rstrip()).endswith("}"):
            inside = head.removesuffix("}").rstrip()
            lines[begun] = f"{inside}{'' if inside.endswith('{') else ', '}{line}}}"
        else:
            lines.insert(begun + 1, f"  {line}")
    return "\n".join(lines) + "\n"
