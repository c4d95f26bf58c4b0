"""Verdicts published by a judge, with the texts that were judged, read from a folder laid out as
docs/judging.md#published-verdicts says.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

import pandas as pd

from prefrepro.data.template import prompt_id, render_history
from prefrepro.errors import UserError
from prefrepro.studies.calibration.pairs import Pair, PublishedSet, published_set
from prefrepro.studies.calibration.people import LLMBAR, PANDALM, TULU, human_sets

TLDR = "tldr/tldr_ppo1.3b_vs_reference_gpt4_judged_1000.csv.gz"
"""vwxyzjn/summarize_from_feedback_details, eval/oai1b.csv_judged.csv: GPT-4 on TL;DR summaries."""
ANNOTATIONS = "acceptance/ae2_weighted_gpt4_turbo_annotations_slim.csv.gz"
"""tatsu-lab/alpaca_eval, results/*/weighted_alpaca_eval_gpt4_turbo/annotations.json."""
REFERENCES = "alpaca_eval/gpt4_1106_preview_reference_outputs.json"
OUTPUTS = "alpaca_eval/{model}_model_outputs.json"
LEADERBOARD = "acceptance/leaderboard_ae2_weighted_gpt4_turbo.csv"
"""tatsu-lab/alpaca_eval, results/leaderboard.csv: what upstream printed for these models."""
BASELINE = "gpt4_1106_preview"
SCORED = "alpaca_eval/multi_response_4models_gpt4turbo_score_200.jsonl"
"""Four models' answers to 200 instructions of AlpacaEval, each with its published preference over REFERENCES."""


def published_sets(folder: Path) -> list[PublishedSet]:
    """Every set whose files are in `folder`. Raises UserError where there is none, or where a file is not as wanted."""
    try:
        sets = [*human_sets(folder), *_tldr(folder), *_alpaca_eval(folder), *_scored(folder)]
    except (LookupError, ValueError, TypeError, AttributeError, BadZipFile, ParseError) as error:
        raise UserError(f"{folder}: a published set cannot be read: {type(error).__name__}: {error}") from error
    if not sets:
        alpaca = f"{ANNOTATIONS}, {REFERENCES} and {OUTPUTS}"
        wanted = "\n".join(f"  {name}" for name in (PANDALM, f"{LLMBAR}/*.json", TULU, TLDR, alpaca, SCORED))
        found = "is no folder" if not folder.is_dir() else "holds none of the published sets"
        raise UserError(
            f"{folder} {found}; calibration wants published verdicts with their texts, at least one of\n{wanted}\n"
            "Next: published=FOLDER names the folder that has them (prefrepro calibration published=…)."
        )
    return sets


def _pair(text: str, candidate: str, baseline: str, *names: str, candidate_first: bool, score: float) -> Pair:
    messages = [{"role": "user", "content": text}]
    if not 0 <= score <= 1:
        raise ValueError(f"a published score of {score}, expected 0 to 1")
    return Pair(
        prompt_id(messages), render_history(messages), candidate.strip(), baseline.strip(), candidate_first, score,
        "", *names,
    )  # fmt: skip


def _tldr(folder: Path) -> Iterable[PublishedSet]:
    """`shuffled_index` 0: ours was Summary A. Candidate wins 71.6 % where shown first, 55.8 % where second."""
    path = folder / TLDR
    if not path.is_file():
        return
    frame = _table(path, ("query", "postprocessed_response", "reference_responses", "preferred", "shuffled_index"))
    scores = {"ours": 1.0, "reference": 0.0}
    pairs = [
        _pair(
            row["query"], row["postprocessed_response"], row["reference_responses"], "ppo-1.3b", "reference",
            candidate_first=str(row["shuffled_index"]) == "0", score=scores[row["preferred"]],
        )
        for row in frame.to_dict("records")
    ]  # fmt: skip
    yield published_set("tldr/ppo-1.3b", "gpt-4", "summarization", pairs)


def _alpaca_eval(folder: Path) -> Iterable[PublishedSet]:
    """Every model that has both published annotations and published outputs; `index` counts the 805 instructions."""
    if not ((folder / ANNOTATIONS).is_file() and (folder / REFERENCES).is_file()):
        return
    references = _json(folder / REFERENCES)
    for model, frame in _table(folder / ANNOTATIONS, ("model", "index", "preference")).groupby("model"):
        path = folder / OUTPUTS.format(model=model)
        if not path.is_file():
            continue
        outputs = {row["instruction"]: row["output"] for row in _json(path)}
        pairs = []
        for index, preference in zip(frame["index"], frame["preference"], strict=True):
            reference = references[int(index)]
            output = outputs[reference["instruction"]]
            pairs.append(_alpaca_pair(reference, output, str(model), float(preference) - 1))
        yield published_set(f"alpaca_eval2/{model}", "weighted_alpaca_eval_gpt4_turbo", "dialogue", pairs)


def _scored(folder: Path) -> Iterable[PublishedSet]:
    if not ((folder / SCORED).is_file() and (folder / REFERENCES).is_file()):
        return
    references = {row["instruction"]: row for row in _json(folder / REFERENCES)}
    pairs: dict[str, list[Pair]] = {}
    for line in (folder / SCORED).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for completion in row["completions"]:
            reference, model = references[row["instruction"]], completion["model"]
            pair = _alpaca_pair(reference, completion["response"], model, float(completion["score"]))
            pairs.setdefault(model, []).append(pair)
    for model, found in pairs.items():
        name = f"alpaca_eval2_200/{model}"
        yield published_set(name, "weighted_alpaca_eval_gpt4_turbo", "dialogue", found)


def _alpaca_pair(reference: dict[str, Any], output: str, model: str, score: float) -> Pair:
    instruction, first = reference["instruction"], model_first(reference["instruction"])
    return _pair(instruction, output, reference["output"], model, BASELINE, candidate_first=first, score=score)


def model_first(instruction: str) -> bool:
    """Whether AlpacaEval showed the model's output first.

    alpaca_eval 0.6.6, processors.py:120-130 and utils.py:53: one seeded choice by instruction and annotator seed 0.
    Holds for 651 of the 654 claude-2.1 rows whose sampled letter tells the order (preference within 0.05 of an end).
    """
    return random.Random(f"is_switched_outputs{instruction}0").choices([False, True])[0]


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    frame = pd.read_csv(path)
    if missing := [column for column in columns if column not in frame]:
        raise ValueError(f"{path} lacks column {', '.join(missing)}; it has {', '.join(frame)}")
    return frame


def _json(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))
