"""From the `source` of a data node to rows: one builder for each kind of source.

world         the embedded world (data/world/), or its sets of questions
hh            Anthropic's transcripts
tldr          OpenAI's comparisons of summaries
ultrafeedback groups of scored responses
instructions  a benchmark's prompts, nothing to train on
tldr_judged   summaries of a model and of people, compared by GPT-4
qa_feedback   four answers to a question, compared two by two by people
rows          anything in canonical columns
"""

from __future__ import annotations

import collections
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from prefrepro.data.alpaca_eval import alpaca_eval_prompts, prompt_order
from prefrepro.data.benchmarks import arena_hard_prompts, mt_bench_prompts
from prefrepro.data.hh import parse_hh
from prefrepro.data.hub import Resolved, named_files, resolve
from prefrepro.data.jsonl import Line, Spool
from prefrepro.data.local import Paths, data_files, load_rows
from prefrepro.data.qa_feedback import parse_qa_feedback
from prefrepro.data.rows import Counts, Parse, PreferenceRow, RankedRow, checked_rows, parse_preference, parse_ranked
from prefrepro.data.splits import split_of
from prefrepro.data.tldr import parse_judged, parse_tldr
from prefrepro.data.ultrafeedback import parse_ultrafeedback
from prefrepro.data.world import generate
from prefrepro.data.world.questions import arena_questions, instruction_set, mt_bench_questions
from prefrepro.errors import UserError

PARTS = ("train", "eval", "dev", "judge")
SALT = "prefrepro"
OWN_SPLITS = {"train": "train", "eval": "test"}
"""What a data set calls its own splits where its file does not say."""

Source = Mapping[str, Any]
Row = PreferenceRow | RankedRow
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
    """The rows of `source`. Raises UserError for bad rows, missing files and sources that are no use."""
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


def line_of(row: Row) -> Line:
    """A row as it stands in train.jsonl, eval.jsonl, dev.jsonl, judge.jsonl."""
    head = {"prompt_id": row.prompt_id, "prompt": row.prompt}
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
    "ultrafeedback": (parse_ultrafeedback, ("score_field",)),
}
"""Kind of a data set with columns of its own -> what makes a row of a record, and its keys of the source."""


def _parser(source: Source) -> Parse[Any]:
    parse, keys = PARSERS.get(source["kind"], (_canonical(source), ()))
    return functools.partial(parse, **{key: source[key] for key in keys if key in source})


def _from_files(source: Source) -> Built:
    found = resolve(source.get("repo"), source.get("revision"), source.get("files"), patterns=source.get("patterns"))
    counts, parse = Counts(), _parser(source)

    def rows(split: str | None) -> Iterator[Any]:
        return load_rows(found.paths, parse, split=split, on_bad_row=source["on_bad_row"], counts=counts)

    if source["kind"] != "tldr":
        return _parted(source, lambda split: map(line_of, rows(split)), found, counts)
    of_split: dict[str, Spool] = collections.defaultdict(Spool)
    for row in rows(None):
        of_split[row.split].append(line_of(row))  # one pass: the split is a column
    return _parted(source, lambda split: of_split[split], found, counts)


def _parted(source: Source, own: Callable[[Any], Iterable[Line]], found: Resolved, counts: Counts) -> Built:
    """Rows by part. `own(split)`: those of one split of the data set's own.

    Where `parts` gives eval a share, the train split (all files, if `splits: {train: null}`) is cut by prompt; where
    it does not say eval, the data set's own evaluation split is eval; with a share of 0 nothing is held out.
    """
    splits, shares = OWN_SPLITS | source.get("splits", {}), source["parts"]
    has_own_eval = "eval" not in shares
    if has_own_eval and source["kind"] != "tldr":
        _no_common_file(found.paths, splits)
    parts: Parts = {name: Spool() for name in PARTS}
    ids: dict[str, set[bytes]] = {name: set() for name in PARTS}
    for line in own(splits["train"]):
        part = split_of(line["prompt_id"], shares, SALT)
        parts[part].append(line)
        ids[part].add(bytes.fromhex(line["prompt_id"]))
    for line in own(splits["eval"]) if has_own_eval else ():
        parts["eval"].append(line)
        ids["eval"].add(bytes.fromhex(line["prompt_id"]))
    shared = {f"{name}_prompts_in_train": len(ids[name] & ids["train"]) for name in PARTS[1:]}
    manifest = {**counts.manifest(), "from": found.record, **shared}
    return Built(parts, _documents(parts["train"]) if source.get("pretrain", True) else [], manifest)


def _no_common_file(paths: Paths, splits: Mapping[str, str | None]) -> None:
    """A file that is named outright is of every split: nobody should be evaluated on what they were trained on."""
    both = set(data_files(paths, splits["train"])) & set(data_files(paths, splits["eval"]))
    if both:
        raise UserError(
            f'{min(both)}: read as split "{splits["train"]}" and as split "{splits["eval"]}". Name a folder with a '
            "file of each, or give eval a share in parts of the dataset's file, so that one file is cut by prompt."
        )


def _documents(lines: Iterable[Line]) -> Iterator[Line]:
    """What a base model built here learns from: every response of the training part, good and bad alike."""
    for line in lines:
        responses = line["completions"] if "completions" in line else [line["chosen"], line["rejected"]]
        yield from ({"prompt": line["prompt"], "completion": text} for text in responses)


def _instructions(source: Source) -> Built:
    if source["set"] == "alpaca_eval":
        return _prompts_only(*alpaca_eval_prompts(source))
    names = {name: source.get(name, name) for name in ("questions", "answers")}
    paths, record = named_files(source, names)
    if missing := [name for name in names if name not in paths]:
        raise UserError(f"files of {source['set']} name no {missing[0]}; expected {' and '.join(names)}: path")
    read_set = {"mt_bench": mt_bench_prompts, "arena_hard": arena_hard_prompts}[source["set"]]
    rows = read_set(paths["questions"], paths["answers"])
    kept = sorted(prompt_order(len(rows), source["n_prompts"]))
    return _prompts_only([rows[place] for place in kept], {"from": record, "left_out": len(rows) - len(kept)})


BUILDERS: dict[str, Callable[[Source], Built]] = {
    "world": _world,
    "instructions": _instructions,
    **dict.fromkeys((*PARSERS, "rows"), _from_files),
}
