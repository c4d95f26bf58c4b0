"""From the `source` of a data node to rows: one builder for each kind of source.

world         the embedded world (data/world/), or its sets of questions
hh            Anthropic's transcripts
tldr          OpenAI's comparisons of summaries
ultrafeedback groups of scored responses
instructions  a benchmark's prompts, nothing to train on
tldr_judged   summaries of a model and of people, compared by GPT-4
qa_feedback   four answers to a question, compared two by two by people
rows          anything in canonical columns, or in another form of data/forms/, which planning recognises
"""

from __future__ import annotations

import collections
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from prefrepro.data.alpaca_eval import alpaca_eval_prompts, prompt_order
from prefrepro.data.arena_hard import arena_hard_v1_prompts, arena_hard_v2_prompts
from prefrepro.data.benchmarks import mt_bench_prompts
from prefrepro.data.forms.files import files_of, first_records, load
from prefrepro.data.forms.parse import CanonicalRow, UnpairedRow, parse_form, parse_scored
from prefrepro.data.forms.recognise import FORMS, LOOKED_AT, flow, recognise
from prefrepro.data.forms.unpaired import of_another_prompt
from prefrepro.data.hh import parse_hh
from prefrepro.data.hub import Resolved, named_files, resolve
from prefrepro.data.jsonl import Line, Spool
from prefrepro.data.local import data_files, load_rows
from prefrepro.data.qa_feedback import parse_qa_feedback
from prefrepro.data.rows import Counts, Parse, RankedRow, checked_rows, parse_preference, parse_ranked
from prefrepro.data.splits import split_of
from prefrepro.data.tldr import parse_judged, parse_tldr
from prefrepro.data.world import generate
from prefrepro.data.world.questions import arena_questions, instruction_set, mt_bench_questions
from prefrepro.errors import UserError

PARTS = ("train", "eval", "dev", "judge")
SALT = "prefrepro"
OWN_SPLITS = {"train": "train", "eval": "test"}
"""What a data set calls its own splits where its file does not say."""

Source = Mapping[str, Any]
Parts = dict[str, Spool]
"""Part -> its lines {prompt_id, prompt, …}"""


class Built(NamedTuple):
    """The rows of a data node."""

    parts: Parts
    pretrain: Iterable[Line]
    """{prompt, completion}: what a base model that is built here learns the language from"""
    manifest: dict[str, Any]
    prompts: list[dict[str, Any]] | None = None
    """What every model answers; None: drawn from the evaluation part"""


def read(source: Source) -> Built:
    """The rows of `source`. Raises UserError for bad rows, missing files, and once for another form."""
    return BUILDERS[source["kind"]](source)


def _world(source: Source) -> Built:
    if source["form"] in QUESTIONS:
        return _questions(source)
    wanted, counts = dict.fromkeys(PARTS, 0) | source["rows"], Counts()
    for name in PARTS:
        if wanted[name] and not source["parts"].get(name):
            raise UserError(
                f'"{name}" wants {wanted[name]} rows of a world whose parts are {source["parts"]}. '
                f"Give {name} a share in parts of the dataset's file, or 0 rows."
            )
    if source["form"] == "ranked":
        records = generate.ranked_groups(source["task"], source["seed"])
    else:
        records = generate.preference_pairs(source["task"], source["seed"], source["temperature"])
    stream = checked_rows(enumerate(records, start=1), "world", _canonical(source), "stop", counts)
    parts: Parts = {name: Spool() for name in PARTS}
    for line in map(line_of, stream):
        part = split_of(line["prompt_id"], source["parts"], SALT)
        if len(parts[part]) < wanted[part]:
            parts[part].append(line)
        elif all(len(parts[name]) >= wanted[name] for name in PARTS):
            break
    documents = generate.documents(source["task"], source["seed"])
    return Built(parts, itertools.islice(documents, wanted["pretrain"]), counts.manifest())


def line_of(row: CanonicalRow) -> Line:
    """A row as it stands in train.jsonl, eval.jsonl, dev.jsonl, judge.jsonl; a completion with a label, as a group of
    one."""
    head = {"prompt_id": row.prompt_id, "prompt": row.prompt}
    if isinstance(row, UnpairedRow):
        return head | {"completions": [row.completion], "scores": [float(row.label)]}
    if isinstance(row, RankedRow):
        compared = {} if row.preferences is None else {"preferences": row.preferences}
        return head | {"completions": row.completions, "scores": row.scores} | compared
    return head | {"chosen": row.chosen, "rejected": row.rejected}


def _canonical(source: Source) -> Parse[Any]:
    return parse_ranked if source.get("form") == "ranked" else parse_preference


QUESTIONS = {"instructions": instruction_set, "mt_bench": mt_bench_questions, "arena_hard": arena_questions}
"""Form of a world's set of questions -> what writes it.

Its prompts are those of the dialogue world, so those that may be in a training part there are left out.
"""


def _questions(source: Source) -> Built:
    def is_held_out(identity: str) -> bool:
        return split_of(identity, source["parts"], SALT) != "train"

    return _prompts_only(QUESTIONS[source["form"]](source["seed"], source["n_prompts"], is_held_out), {})


def _prompts_only(rows: list[dict[str, Any]], manifest: dict[str, Any]) -> Built:
    return Built({name: Spool() for name in PARTS}, [], {**Counts().manifest(), **manifest}, rows)


PARSERS: dict[str, tuple[Parse[Any], tuple[str, ...]]] = {
    "hh": (parse_hh, ("reading", "turns")),
    "tldr": (parse_tldr, ("reading",)),
    "tldr_judged": (parse_judged, ()),
    "qa_feedback": (parse_qa_feedback, ("prompt",)),
}
"""Kind of a data set with columns of its own -> what makes a row of a record, and its keys of the source."""


def _from_files(source: Source) -> Built:
    found = resolve(source.get("repo"), source.get("revision"), source.get("files"), patterns=source.get("patterns"))
    if source["kind"] == "ultrafeedback" or "columns" in source:
        return _of_a_form(source, found)
    if source["kind"] in ("hh", "rows"):
        _refuse_other_form(source, data_files(found.paths)[0])
    parse, keys = PARSERS.get(source["kind"], (_canonical(source), ()))
    parse = functools.partial(parse, **{key: source[key] for key in keys if key in source})
    counts, files = Counts(), functools.partial(data_files, found.paths)

    def rows(split: str | None) -> Iterator[Any]:
        return load_rows(found.paths, parse, split=split, on_bad_row=source["on_bad_row"], counts=counts)

    if source["kind"] != "tldr":
        return _parted(source, lambda split: map(line_of, rows(split)), files, found, counts)
    of_split: dict[str | None, Spool] = collections.defaultdict(Spool)
    for row in rows(None):
        of_split[row.split].append(line_of(row))  # one pass: the split is a column
    return _parted(source, lambda split: of_split[split], None, found, counts)


def _of_a_form(source: Source, found: Resolved) -> Built:
    """UltraFeedback, and rows with `columns`, which planning sets (forms/settle.py)."""
    splits, config = OWN_SPLITS | source.get("splits", {}), source.get("config")
    files = functools.partial(files_of, found.paths, config=config)
    if source["kind"] == "ultrafeedback":
        keys = {"score_field": source["score_field"]} if "score_field" in source else {}
        parse: Parse[Any] = functools.partial(parse_scored, **keys)
    else:
        form, columns = source["form"], source["columns"]
        wanted = [splits["train"], *([] if "eval" in source["parts"] else [splits["eval"]])]
        for file in dict.fromkeys(file for split in wanted for file in files(split)):
            recognise(first_records(file, LOOKED_AT), str(file), form, columns)
        parse = functools.partial(parse_form, form=form, columns=columns)
    counts = Counts()

    def rows(split: str | None) -> Iterator[Line]:
        there = load(found.paths, parse, split=split, config=config, on_bad_row=source["on_bad_row"], counts=counts)
        return map(line_of, there)

    built = _parted(source, rows, files, found, counts)
    if source.get("completions") == "of_another_prompt":
        return built._replace(parts=built.parts | {"train": of_another_prompt(built.parts["train"])}, prompts=[])
    return built


def _refuse_other_form(source: Source, file: Path) -> None:
    """Raise one UserError where the first rows of canonical columns, or of HH, are of another form, or where columns
    stand beside them that belong to the prompt and that nobody would read."""
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


def _parted(
    source: Source,
    own: Callable[[str | None], Iterable[Line]],
    files: Callable[[str | None], list[Path]] | None,
    found: Resolved,
    counts: Counts,
) -> Built:
    """Rows by part. `own(split)`: those of one split of the data set's own; `files(split)`: where they stand, None
    where the split is a column.

    Where `parts` gives eval a share, the train split (all files, if `splits: {train: null}`) is cut by prompt; where
    it does not say eval, the data set's own evaluation split is eval; with a share of 0 nothing is held out.
    """
    splits, shares = OWN_SPLITS | source.get("splits", {}), source["parts"]
    has_own_eval = "eval" not in shares
    if has_own_eval and files and (both := set(files(splits["train"])) & set(files(splits["eval"]))):
        raise UserError(  # a file that is named outright is of every split
            f'{min(both)}: read as split "{splits["train"]}" and as split "{splits["eval"]}". Name a folder with a '
            "file of each, or give eval a share in parts of the data set's file, so that one file is cut by prompt."
        )
    parts: Parts = {name: Spool() for name in PARTS}
    ids: dict[str, set[bytes]] = {name: set() for name in PARTS}

    def put(part: str, line: Line) -> None:
        parts[part].append(line)
        ids[part].add(bytes.fromhex(line["prompt_id"]))

    for line in own(splits["train"]):
        put(split_of(line["prompt_id"], shares, SALT), line)
    for line in own(splits["eval"]) if has_own_eval else ():
        put("eval", line)
    shared = {f"{name}_prompts_in_train": len(ids[name] & ids["train"]) for name in PARTS[1:]}
    manifest = {**counts.manifest(), "from": found.record, **shared}
    return Built(parts, _documents(parts["train"]) if source.get("pretrain", True) else [], manifest)


def _documents(lines: Iterable[Line]) -> Iterator[Line]:
    """What a base model built here learns from: every response of the training part, good and bad alike."""
    for line in lines:
        responses = line["completions"] if "completions" in line else [line["chosen"], line["rejected"]]
        yield from ({"prompt": line["prompt"], "completion": text} for text in responses)


def _instructions(source: Source) -> Built:
    if source["set"] == "alpaca_eval":
        return _prompts_only(*alpaca_eval_prompts(source))
    read_set, wanted = SETS[source["set"]]
    paths, record = named_files(source, {name: source.get(name, name) for name in wanted})
    if missing := [name for name in wanted if name not in paths]:
        *first, last = wanted
        raise UserError(f"files of {source['set']} name no {missing[0]}; expected {', '.join(first)} and {last}: path")
    rows = read_set(*(paths[name] for name in wanted))
    kept = sorted(prompt_order(len(rows), source["n_prompts"]))
    return _prompts_only([rows[place] for place in kept], {"from": record, "left_out": len(rows) - len(kept)})


SETS: dict[str, tuple[Callable[..., list[dict[str, Any]]], tuple[str, ...]]] = {
    "mt_bench": (mt_bench_prompts, ("questions", "answers")),
    "arena_hard": (arena_hard_v1_prompts, ("questions", "answers")),
    "arena_hard_v2": (arena_hard_v2_prompts, ("questions", "answers", "creative_answers")),
}
"""A benchmark -> what reads its prompts, and the files that this takes."""

BUILDERS: dict[str, Callable[[Source], Built]] = {
    "world": _world,
    "instructions": _instructions,
    **dict.fromkeys((*PARSERS, "ultrafeedback", "rows"), _from_files),
}
