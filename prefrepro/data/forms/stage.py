"""The data job: every kind of source as sources.py reads it, and preference data of other forms as this folder does.

What sources.py reads alone stays as it is: its code is part of the name of every node that rests on data. Read here are
`kind: rows` with `columns`, which planning sets (settle.py), and `kind: ultrafeedback`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from prefrepro.data import arena_hard, sources
from prefrepro.data import build as plain
from prefrepro.data.forms.files import files_of, first_records, records_of
from prefrepro.data.forms.parse import CanonicalRow, UnpairedRow, parse_form, parse_scored
from prefrepro.data.forms.recognise import FORMS, LOOKED_AT, flow, recognise
from prefrepro.data.hub import resolve
from prefrepro.data.jsonl import Line, Spool
from prefrepro.data.local import Paths, data_files
from prefrepro.data.rows import Counts, OnBadRow, Parse, checked_rows
from prefrepro.data.splits import eval_prompt_order, split_of
from prefrepro.errors import UserError
from prefrepro.specs.runtime import DEFAULT, Runtime
from prefrepro.specs.sources import shape_of

Source = Mapping[str, Any]


def build(spec: dict[str, Any], inputs: dict[str, Path], out: Path, runtime: Runtime = DEFAULT) -> None:
    """Write the dataset of `spec` into `out`; see data/build.py. Raises UserError."""
    plain.build(spec, inputs, out, runtime)


def load(
    paths: Paths,
    parse: Parse[Any],
    *,
    split: str | None = None,
    config: str | None = None,
    on_bad_row: OnBadRow = "stop",
    counts: Counts,
) -> Iterator[CanonicalRow]:
    """The canonical rows of files of one form; every record is a row, a bad row or left out, each counted.

    `parse`: of parse.py, with its form. Raises UserError at the first bad row, or, where they are skipped, if no row is
    left.
    """
    files, before = files_of(paths, split, config), counts["rows"]
    for file in files:
        yield from checked_rows(records_of(file, on_bad_row, counts), str(file), parse, on_bad_row, counts)
    if counts["rows"] == before:
        causes = [f"{cause} {at[0]}" for cause, at in counts.first_locations.items() if cause != "left_out"]
        first = f"The first: {'; '.join(causes)}." if causes else "Expected at least one."
        raise UserError(
            f"{files[0]}: no usable row ({counts['bad_rows']} bad, {counts['left_out']} left out). {first} "
            f"Next: prefrepro data inspect {files[0]}"
        )


def read(source: Source) -> sources.Built:
    """The rows of a source. Raises UserError for bad rows, and once where all rows are of another form."""
    found = resolve(source.get("repo"), source.get("revision"), source.get("files"), patterns=source.get("patterns"))
    splits, config = sources.OWN_SPLITS | source.get("splits", {}), source.get("config")
    if source["kind"] == "ultrafeedback":
        keys = {"score_field": source["score_field"]} if "score_field" in source else {}
        parse: Parse[Any] = functools.partial(parse_scored, **keys)
    else:
        form, columns = source["form"], source["columns"]
        wanted = [splits["train"], *([] if "eval" in source["parts"] else [splits["eval"]])]
        for file in dict.fromkeys(file for split in wanted for file in files_of(found.paths, split, config)):
            recognise(first_records(file, LOOKED_AT), str(file), form, columns)
        parse = functools.partial(parse_form, form=form, columns=columns)
    counts = Counts()

    def rows(split: str | None) -> Iterator[Line]:
        there = load(found.paths, parse, split=split, config=config, on_bad_row=source["on_bad_row"], counts=counts)
        return map(line_of, there)

    shares: Mapping[str, float] = source["parts"]
    parts: sources.Parts = {name: Spool() for name in sources.PARTS}
    ids: dict[str, set[bytes]] = {name: set() for name in sources.PARTS}

    def put(part: str, line: Line) -> None:
        parts[part].append(line)
        ids[part].add(bytes.fromhex(line["prompt_id"]))

    for line in rows(splits["train"]):
        put(split_of(line["prompt_id"], shares, sources.SALT), line)
    if "eval" not in shares:
        both = set(files_of(found.paths, splits["train"], config)) & set(files_of(found.paths, splits["eval"], config))
        if both:
            raise UserError(
                f'{min(both)}: read as split "{splits["train"]}" and as split "{splits["eval"]}". Give eval a share in '
                "parts of the data set's file, so that one file is cut by prompt, or name a folder with a file of each."
            )
        for line in rows(splits["eval"]):
            put("eval", line)
    shared = {f"{name}_prompts_in_train": len(ids[name] & ids["train"]) for name in sources.PARTS[1:]}
    manifest = {**counts.manifest(), "from": found.record, **shared}
    documents = _documents(parts["train"]) if source.get("pretrain", True) else []
    if source["kind"] == "ultrafeedback" or shape_of(source) != "unpaired":
        return sources.Built(parts, documents, manifest)
    if source.get("completions") == "of_another_prompt":
        return sources.Built(parts | {"train": _of_another_prompt(parts["train"])}, documents, manifest, [])
    prompts = _prompts(parts["eval"], source) if shares.get("eval") != 0 else []
    return sources.Built(parts, documents, manifest, prompts)


def _documents(lines: Iterable[Line]) -> Iterator[Line]:
    """What a base model built here learns from: every response of the training part, good and bad alike."""
    for line in lines:
        responses = line["completions"] if "completions" in line else [line["chosen"], line["rejected"]]
        yield from ({"prompt": line["prompt"], "completion": text} for text in responses)


def _prompts(lines: Spool, source: Source) -> list[Line]:
    """The prompts that every model answers: those with a good completion, which is the baseline."""
    first: dict[str, Line] = {}
    for line in lines:
        if line["scores"][0]:
            first.setdefault(line["prompt_id"], line)
    good, wanted = list(first.values()), source["n_prompts"]
    batch = min(source["prompt_batch"], wanted)
    if len(good) // batch * batch < wanted:
        raise UserError(
            f"{len(good)} unique evaluation prompts have a completion that is labelled good, but {wanted} are to be "
            f"sampled in batches of {batch}. Give more data, or lower sampling.n of the scale."
        )
    order = eval_prompt_order(len(good), wanted, batch, source["order_seed"])[:wanted]
    kept = [good[place] for place in order]
    return [{"prompt_id": row["prompt_id"], "prompt": row["prompt"], "baseline": row["completions"][0]} for row in kept]


def _of_another_prompt(lines: Spool) -> Spool:
    """Each line with the completion of the next line of another prompt, the last ones with that of an earlier one.

    Raises UserError where all lines have one prompt.
    """
    made, waiting, heads = Spool(), list[Line](), list[Line]()

    def answer(other: Line) -> None:
        for line in waiting:
            made.append(line | {"completions": other["completions"]})
        waiting.clear()

    for line in lines:
        if waiting and line["prompt_id"] != waiting[0]["prompt_id"]:
            answer(line)
        if not waiting and len(heads) < 2:
            heads.append(line)
        waiting.append(line)
    others = [head for head in heads if waiting and head["prompt_id"] != waiting[0]["prompt_id"]]
    if others:
        answer(others[0])
    elif waiting:
        raise UserError(
            f"all {len(waiting)} training rows have one prompt; expected two at least, since the method wants a "
            "response to another prompt for each row. Give more data."
        )
    return made


def line_of(row: CanonicalRow) -> Line:
    """A row as it stands in train.jsonl, eval.jsonl, dev.jsonl, judge.jsonl."""
    if isinstance(row, UnpairedRow):
        completion = {"completions": [row.completion], "scores": [float(row.label)]}  # a group of one
        return {"prompt_id": row.prompt_id, "prompt": row.prompt, **completion}
    return sources.line_of(row)


def refuse_other_form(source: Source) -> None:
    """Raise one UserError where the first rows of canonical columns, or of HH, are of another form, or where columns
    stand beside them that belong to the prompt and that nobody would read."""
    found = resolve(source.get("repo"), source.get("revision"), source.get("files"), patterns=source.get("patterns"))
    file = data_files(found.paths)[0]
    try:
        form = recognise(first_records(file, LOOKED_AT), str(file))
    except UserError:  # none, or not for certain: reading tells of each row by its line
        return
    wanted = "hh" if source["kind"] == "hh" else source["form"]
    if form.name == wanted and (wanted == "hh" or not form.columns):
        return
    what = (
        "the rows are " + form.title if form.name != wanted else "they belong to the prompt: " + ", ".join(form.columns)
    )
    raise UserError(
        f"{file}: {what}; the data set's file says kind: {source['kind']}, which reads {FORMS[wanted]['title']}. Write "
        f"there kind: rows, {form.yaml}" + (f", columns: {flow(form.columns)}" if form.columns else "")
    )


_READ = {kind: sources.BUILDERS[kind] for kind in ("hh", "rows", "ultrafeedback")}


def _dispatched(source: Source) -> sources.Built:
    if source["kind"] == "ultrafeedback" or "columns" in source:
        return read(source)
    refuse_other_form(source)
    return _READ[source["kind"]](source)


sources.BUILDERS.update({**dict.fromkeys(_READ, _dispatched), "instructions": arena_hard.read})
