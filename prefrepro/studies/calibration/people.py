"""Comparisons that people judged, in their released forms (docs/judging.md#published-verdicts).

A pair whose people are undecided is left out and counted, as is one whose answers read alike or are no text. Which
answer is shown first follows from a hash of the pair: the files hold no order that people saw.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from prefrepro.data.template import prompt_id, render_history
from prefrepro.stats.clusters import clustered_mean
from prefrepro.studies.calibration.pairs import Pair, People, PublishedSet, published_set

PANDALM = "human_eval/pandalm_testset-v1.json"
"""WeOpenML/PandaLM, data/testset-v1.json: three annotators each; 0 is a tie."""
TULU = "human_eval/eval_annotations_tulu_1.xlsx"
"""allenai/open-instruct, human_eval/data/eval_annotations_tulu_1.xlsx: some pairs have two or three raters."""
LLMBAR = "human_eval/llmbar"
"""princeton-nlp/LLMBar, Dataset/**/dataset.json: objective labels; processed_MT-Bench.json has people's."""
GPT4_REPLIES = "human_eval/llmbar/gpt4_vanilla_Natural.json"
"""princeton-nlp/LLMBar, Natural/evaluators/GPT-4/Vanilla/result.json: both orders of Natural."""
LLMBAR_SETS = {
    "Natural": "llmbar/natural",
    "Adversarial_Neighbor": "llmbar/adversarial-neighbor",
    "Adversarial_GPTInst": "llmbar/adversarial-gptinst",
    "Adversarial_GPTOut": "llmbar/adversarial-gptout",
    "Adversarial_Manual": "llmbar/adversarial-manual",
    "processed_MT-Bench": "mt_bench/people",
}
"""File -> the set's name here"""
TULU_SCORES = {
    "a-is-better": 1.0,
    "a-is-slightly-better": 1.0,
    "tie": 0.5,
    "b-is-slightly-better": 0.0,
    "b-is-better": 0.0,
}
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
Votes = list[float]
"""Shares of the candidate by each person: 1, ½ or 0"""


def human_sets(folder: Path) -> Iterable[PublishedSet]:
    """Every set whose files are in `folder`. Raises KeyError, ValueError or TypeError for files of another form."""
    if (path := folder / PANDALM).is_file():
        yield _set("pandalm", "people", map(_pandalm, _json(path)))
    for name, called in LLMBAR_SETS.items():
        if (path := folder / LLMBAR / f"{name}.json").is_file():
            judge = "people" if "MT-Bench" in name else "labels"
            yield _set(called, judge, map(_labelled, _json(path)))
    if (path := folder / TULU).is_file():
        yield _set("tulu", "people", _tulu(sheet(path)))


def gpt4_replies(folder: Path) -> list[tuple[str, float, float]]:
    """(pair's id, GPT-4's share for the candidate shown first, and shown second) of LLMBar Natural; [] without them."""
    path = folder / GPT4_REPLIES
    rows = _json(path) if path.is_file() else []
    found = []
    for row in rows:
        pair, _ = _labelled(row)
        orders = row["results"][0]
        shares = [{"1": 1.0, "2": 0.0}[orders[f"swap = {swapped}"]["winner"]] for swapped in (False, True)]
        found += [] if pair is None else [(pair.prompt_id, *shares)]
    return found


def sheet(path: Path) -> list[dict[str, str]]:
    """The rows of a workbook's first sheet by its header, without empty cells."""
    with zipfile.ZipFile(path) as book:
        shared = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
        texts = ["".join(part.text or "" for part in one.iter(f"{SHEET}t")) for one in shared]
        rows = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml")).iter(f"{SHEET}row")
        read = [dict(cell for cell in (_cell(one, texts) for one in row) if cell) for row in rows]
    head, *rest = read
    return [{head[column]: text for column, text in row.items() if column in head} for row in rest if row]


def _cell(cell: ElementTree.Element, texts: Sequence[str]) -> tuple[str, str] | None:
    """(column's letters, text); None of an empty cell."""
    value = cell.find(f"{SHEET}v")
    if value is None or value.text is None:
        return None
    text = texts[int(value.text)] if cell.get("t") == "s" else value.text
    return re.sub(r"[0-9]", "", cell.get("r", "")), text


def _pandalm(row: dict[str, Any]) -> tuple[Pair | None, Votes]:
    votes = [{0: 0.5, 1: 1.0, 2: 0.0}[row[f"annotator{number}"]] for number in (1, 2, 3)]
    text = "\n\n".join(filter(None, (row["instruction"], row["input"])))
    return _pair(text, row["response1"], row["response2"], votes, *row["cmp_key"].split("_")), votes


def _labelled(row: dict[str, Any]) -> tuple[Pair | None, Votes]:
    votes = [{"1": 1.0, "2": 0.0}[str(row["label"])]]
    return _pair(row["input"], row["output_1"], row["output_2"], votes), votes


def _tulu(rows: Sequence[dict[str, str]]) -> Iterable[tuple[Pair | None, Votes]]:
    """A person's latest verdict on an instance counts (human_eval/compute_metrics.py); models in alphabetical order."""
    latest = {(row["instance_index"], row["evaluator"]): row for row in sorted(rows, key=_time) if "preference" in row}
    judged: dict[tuple[str, str, str], list[dict[str, str]]] = defaultdict(list)
    for row in latest.values():
        first, second = sorted((row["model_a"], row["model_b"]))
        judged[first, second, row["instance_id"]].append(row)
    for (first, second, _), group in judged.items():
        votes, row = [], group[0]
        for one in group:
            score = TULU_SCORES[one["preference"]]
            votes.append(score if one["model_a"] == first else 1 - score)
        answers = {row["model_a"]: row.get("completion_a"), row["model_b"]: row.get("completion_b")}
        yield _pair(row["prompt"], answers[first], answers[second], votes, first, second), votes


def _time(row: dict[str, str]) -> float:
    return float(row["timestamp"])


def _pair(text: str, candidate: Any, baseline: Any, votes: Votes, *names: str) -> Pair | None:
    """None where an answer is no text; undecided people give a score of ½."""
    if not (isinstance(candidate, str) and isinstance(baseline, str)):
        return None
    messages = [{"role": "user", "content": text}]
    identity = hashlib.sha256(json.dumps([text, candidate, baseline, *names]).encode()).hexdigest()
    decided = _majority(votes)
    return Pair(
        identity, render_history(messages), candidate.strip(), baseline.strip(), int(identity[:8], 16) % 2 == 0,
        0.5 if decided is None else decided, prompt_id(messages), *names,
    )  # fmt: skip


def _majority(votes: Votes) -> float | None:
    """1 or 0 where more than half of the people say so."""
    return next((side for side in (1.0, 0.0) if 2 * votes.count(side) > len(votes)), None)


def _set(name: str, judge: str, judged: Iterable[tuple[Pair | None, Votes]]) -> PublishedSet:
    found = list(judged)
    pairs = {pair.prompt_id: pair for pair, _ in found if pair is not None}
    people = _among_people([(pair, votes) for pair, votes in found if pair is not None])
    return published_set(name, judge, "dialogue", pairs.values(), len(found) - len(pairs), people)


def _among_people(judged: Sequence[tuple[Pair, Votes]]) -> People | None:
    """How often a person agrees with the majority of the others, over all who decided; None without a second person."""
    agreed, prompts = [], []
    for pair, votes in judged:
        for place, vote in enumerate(votes):
            others = _majority(votes[:place] + votes[place + 1 :])
            if others is not None and vote != 0.5:
                agreed.append(float(vote == others))
                prompts.append(pair.cluster)
    return People(len(agreed), *clustered_mean(np.array(agreed), np.array(prompts))) if agreed else None


def _json(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))
