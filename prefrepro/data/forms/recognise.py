"""Which form the rows of a file have, told from their columns and what stands in them. forms.yaml lists the forms.

A form is certain where its columns can mean nothing else. One that is not is refused, once for the file, with the line
of YAML that says how to read it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from prefrepro.data.forms.messages import WORDS, is_messages, unpacked
from prefrepro.errors import UserError

FORMS: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("forms.yaml").read_text(encoding="utf-8"))
LOOKED_AT = 100
"""First rows of a file that say which form it has"""
SHOWN = 12
"""Most columns that a message names"""
TRANSCRIPT = re.compile(r"(?:^|\n)\s*Human:.*\n\s*Assistant:", re.DOTALL)
Record = Mapping[str, Any]
BESIDE = ("system", "history", "input")
"""Roles that any form may have"""
READ_TOO = ("score_chosen", "score_rejected", "metadata", "preferences")
"""Columns that rows.py looks at, whatever the form"""


@dataclass(frozen=True, slots=True)
class Form:
    """How the rows of a file are read."""

    name: str
    """One of forms.yaml."""
    shape: str
    """pairs | ranked | unpaired"""
    title: str
    yaml: str
    """The lines of a data set's file that select it."""
    is_certain: bool = True
    columns: dict[str, str] = field(default_factory=dict)
    """Role -> column, where the file says so or where they are read beside the form's own: system, history, input"""
    unused: tuple[str, ...] = ()
    """Columns that are not read."""
    fitting: tuple[int, int] = (0, 0)
    """(rows that have the form, rows looked at)"""


def _text(value: Any) -> bool:
    return isinstance(value, str) and not is_messages(value)


def _label(value: Any) -> bool:
    return label_of(value) is not None


VALUES = {
    "text": _text,
    "messages": is_messages,
    "transcript": lambda value: isinstance(value, str) and TRANSCRIPT.search(value) is not None,
    "label": _label,
    "list": lambda value: isinstance(unpacked(value), list),
    "objects": lambda value: isinstance(value, list) and all(isinstance(one, dict) for one in value),
}
"""What forms.yaml says that a column holds -> whether a value is of that kind"""
LABELS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def label_of(value: Any) -> bool | None:
    """A label as JSON or CSV holds it: true or false, 1 or 0; None for anything else."""
    return LABELS.get(str(value).strip().lower()) if isinstance(value, bool | int | float | str) else None


def recognise(
    rows: Iterable[Record], where: str, form: str | None = None, columns: Mapping[str, str] | None = None
) -> Form:
    """The form of `rows`, of which the first are looked at; `form` and `columns` are what the data set's file says.

    Raises one UserError, which names `where`, the form and the YAML that says how to read it, where no form fits, where
    the one that fits is not certain and nobody said it, or where the rows are of another form than `form`.
    """
    looked_at, given = list(itertools.islice(rows, LOOKED_AT)), dict(columns or {})
    if not looked_at:
        raise UserError(f"{where}: no row in it. Expected at least one.")
    names = [form] if form else list(FORMS)
    found = next((name for name in names if _share(name, looked_at, given) >= (0 if form else 0.5)), None)
    if found is None or (form and not _share(form, looked_at, given)):
        raise UserError(_other_form(where, looked_at, form, given))
    made = _form(found, looked_at, given)
    if form is None and not made.is_certain:
        raise UserError(_doubt(where, made))
    return made


def _share(name: str, rows: Sequence[Record], given: Mapping[str, str]) -> float:
    """Share of the rows that have a form."""
    return sum(_fits(name, row, given) for row in rows) / len(rows)


def _fits(name: str, row: Record, given: Mapping[str, str]) -> bool:
    form = FORMS[name]
    if any(form["columns"].get(role, role) != role or role not in (*form["columns"], *BESIDE) for role in given):
        return False  # what is given names the roles of another form
    if any(column in row for column in WORDS["near"].get(form.get("absent"), ())):
        return False
    columns = {role: given.get(role, column) for role, column in form["columns"].items()}
    if not all(column in row for column in columns.values()):
        return False
    held = [(VALUES[kind], row[columns[role]]) for role, kind in form.get("values", {}).items()]
    known = [holds(value) for holds, value in held if value is not None]  # null says nothing: reading tells of it
    return all(known) and bool(known or not held)


def _form(name: str, rows: Sequence[Record], given: Mapping[str, str]) -> Form:
    own, there = FORMS[name], list(dict.fromkeys(column for row in rows for column in row))
    beside = {role: column for role, column in beside_of(name, rows).items() if role not in given}
    read = own["columns"] | beside | dict(given)
    unused = tuple(column for column in there if column not in (*read.values(), *READ_TOO))
    asked = [column for column in unused if column in WORDS["asked"] and any(row.get(column) for row in rows)]
    lines = f"form: {name}" + (f"\ncolumns: {flow(given)}" if given else "")
    is_certain = own.get("certain", True) and not asked
    fitting = sum(_fits(name, row, given) for row in rows)
    columns = {
        role: column
        for role, column in read.items()
        if column != own["columns"].get(role) and (column in there or role not in BESIDE)
    }
    return Form(name, own["shape"], own["title"], lines, is_certain, columns, unused, (fitting, len(rows)))


def beside_of(name: str, rows: Sequence[Record]) -> dict[str, str]:
    """Role -> column of what belongs to the prompt and stands in one of the rows: system, history, input. Of several
    columns for one role that which is filled."""
    own, named = FORMS[name], set(FORMS[name]["columns"].values())
    there = {column for row in rows for column in row} - named
    filled = {column for row in rows for column, value in row.items() if value}
    found: dict[str, str] = {}
    pairs = [*own.get("beside", {}).items(), *((role, c) for role, names in WORDS["context"].items() for c in names)]
    for role, column in pairs:
        if column in there and (role not in found or (column in filled and found[role] not in filled)):
            found[role] = column
    return found


def flow(columns: Mapping[str, str]) -> str:
    """A mapping as one writes it in one line of YAML."""
    return yaml.safe_dump(dict(columns), default_flow_style=True, sort_keys=False, width=1000).strip()


def _doubt(where: str, form: Form) -> str:
    asked = [column for column in form.unused if column in WORDS["asked"]]
    said = f"{where}: the rows look like {form.name}: {form.title}"
    if not asked:
        return (
            f"{said}. Columns alone do not say so for certain. If it is so, write in the data set's file: {form.yaml}"
        )
    line = f"columns: {flow(form.columns | {'input': asked[0]})}"
    return (
        f"{said}; but the column {asked[0]} may belong to what was asked. Write in the data set's file {line} to read "
        f"it after the prompt, or {form.yaml} to leave it out"
    )


def _other_form(where: str, rows: Sequence[Record], form: str | None, given: Mapping[str, str]) -> str:
    """Why the rows cannot be read, and the line of YAML that would help."""
    there = list(dict.fromkeys(column for row in rows for column in row))
    shown = ", ".join(there[:SHOWN]) + (", …" if len(there) > SHOWN else "")
    said = f"{where}: " + (
        f"no row of the first {len(rows)} is of the form {form} ({FORMS[form]['title']})"
        if form
        else "the rows are of no form that is known here"
    )
    said += f"; columns: {shown or 'none'}"
    if missing := [column for column in given.values() if column not in there]:
        return f"{said}. `columns` names {', '.join(missing)}, which no row has"
    fitting = next((name for name in FORMS if _share(name, rows, {}) >= 0.5), None)
    if form and fitting:
        return f"{said}. They are {FORMS[fitting]['title']}. Write in the data set's file: form: {fitting}"
    for name, roles in SUGGESTED.items():
        near = {role: next((c for c in WORDS["near"][role] if c in there), None) for role in roles}
        if all(near.values()):
            renamed = {role: str(column) for role, column in near.items() if column != role}
            line = f"form: {name}" + (f", columns: {flow(renamed)}" if renamed else "")
            return f"{said}. If these are {FORMS[name]['title']}, write in the data set's file {line}"
    return (
        f"{said}. A preference has two answers, or one and a label, or several and their scores. Write in the data "
        "set's file which column is which: form: pairs, columns: {prompt: …, chosen: …, rejected: …}"
    )


SUGGESTED = {
    "pairs": ("prompt", "chosen", "rejected"),
    "implicit": ("chosen", "rejected"),
    "ranked": ("prompt", "completions", "scores"),
    "unpaired": ("prompt", "completion", "label"),
}
"""Form -> roles that need a column each before it is suggested"""
