"""Write a new method file that works and passes `prefrepro check`, for its author to change."""

from __future__ import annotations

import keyword
import re

from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.specs.method import method_names

STARTS = {"paired": "dpo", "unpaired": "bco", "ranked": "infonca"}
"""Shape -> the method that a new one starts as a copy of"""
TABLES = {
    "paired": ("paper_tables/rpo/table1.yaml", "table1"),
    "unpaired": ("paper_tables/rpo/table1.yaml", "table1"),
    "ranked": ("paper_tables/swepo/embedded_methods.yaml", "swepo_embedded_methods"),
}
"""A table whose data fit, and its target"""


def starting_text(name: str, shape: str) -> str:
    """The text of the shape's starting method under another name, with «ours» as its source."""
    text = (ROOT / "methods" / f"{STARTS[shape]}.py").read_text(encoding="utf-8")
    text = re.sub(r'\A"""(.*?\)).*?"""', rf'"""{name}: ours, so far \1."""', text)
    text = re.sub(r"(?m)^NAME = .*$", f'NAME = "{name}"', text)
    return re.sub(r"(?m)^PAPER = .*$", 'PAPER = "ours"', text)


def new_method(name: str, shape: str) -> str:
    """Write methods/<name>.py; returns what to do next. Raises UserError for an invalid or taken name."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        plain = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")
        hint = f" Did you mean {plain}?" if re.fullmatch("[a-z][a-z0-9_]*", plain) and plain != name else ""
        raise UserError(
            f'"{name}" is no name for a method. Expected a Python name in snake_case, such as my_dpo.{hint}'
        )
    path = ROOT / "methods" / f"{name}.py"
    if path.exists():
        known = f"Known: {', '.join(method_names())}."
        raise UserError(f"methods/{name}.py exists already and stays as it is. Choose another name. {known}")
    path.write_text(starting_text(name, shape), encoding="utf-8")
    table, target = TABLES[shape]
    return f"""wrote methods/{name}.py, a copy of {STARTS[shape]} that works as it is. Next:
  change its loss, docstrings and PAPER, then
    prefrepro check methods/{name}.py
  add a row to the rows of a table spec, such as {table}:
    {name.replace("_", "-")}: {{label: {name}, method: {name}, hparams: {{beta: 0.1}}}}
  see what it adds, and run that:
    snakemake -n {target}
    snakemake {target}"""
