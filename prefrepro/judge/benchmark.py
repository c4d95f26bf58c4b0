"""What MT-Bench and Arena-Hard share: judge prompts, samples in canonical order, means bootstrapped by question.

Prompts are the released files at a path, or ours where none is named. Ours (prompts/mt_bench.yaml,
prompts/arena_hard.yaml) are worded for this project, so their `sha256` differs from the released ones': a verdict says
which it was got with.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from prefrepro.data.jsonl import read_jsonl
from prefrepro.errors import UserError

FOLDER = Path(__file__).parent / "prompts"
DRAWS = 4000
"""Resamples, as in stats.intervals."""
DIGITS = 6
FIELD = re.compile(r"\{(\w+)\}")
MT_BENCH_FIELDS = {
    "single-v1": {"question", "answer"},
    "single-math-v1": {"question", "answer", "ref_answer_1"},
    "single-v1-multi-turn": {"question_1", "answer_1", "question_2", "answer_2"},
    "single-math-v1-multi-turn": {"question_1", "answer_1", "question_2", "answer_2", "ref_answer_1", "ref_answer_2"},
}
"""FastChat fastchat/llm_judge/data/judge_prompts.jsonl: the name of a prompt -> what is filled into it."""
ARENA_FIELDS = {"question_1": "QUESTION", "answer_1": "ANSWER_A", "answer_2": "ANSWER_B"}
"""config/judge_config.yaml of 2024 -> config/arena-hard-v0.1.yaml of 2025: the same three, named otherwise."""


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """A system message and a user message with holes."""

    system: str
    template: str
    sha256: str
    """Hex digest of both as canonical JSON: two wordings have two digests, whatever file they came in."""

    def messages(self, **texts: str) -> list[dict[str, str]]:
        """The two messages; what is filled in is never itself searched for holes."""
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": FIELD.sub(lambda hole: texts[hole.group(1)], self.template)},
        ]


def mt_bench_prompts(path: str | Path | None = None) -> dict[str, JudgePrompt]:
    """The four single-grading prompts by name, of a released judge_prompts.jsonl or ours. Raises UserError."""
    if path is None:
        source, entries = FOLDER / "mt_bench.yaml", _read_yaml(FOLDER / "mt_bench.yaml")
    else:
        source = Path(path)
        entries = {str(entry.get("name")): entry for _, entry in read_jsonl(source)}
    lacking = [name for name in MT_BENCH_FIELDS if name not in entries]
    if lacking:
        raise UserError(
            f"{source}: no prompt {', '.join(lacking)}; found {', '.join(entries)}. "
            "Expected FastChat's judge_prompts.jsonl (fastchat/llm_judge/data/)."
        )
    return {name: _prompt(entries[name], fields, f"{source}, {name}") for name, fields in MT_BENCH_FIELDS.items()}


def arena_hard_prompt(
    paths: str | Path | Sequence[str | Path] | None = None, category: str | None = None
) -> JudgePrompt:
    """The prompt of Arena-Hard, of one or more released judge configs or ours. Raises UserError.

    Of several files the first that has a key gives it. The config of 2025 holds no system prompt (that is in the
    release's judge_utils.py and is the one of 2024): name the config of 2024 behind it.
    """
    if paths is None:
        is_creative = category == "creative_writing"  # v2.0 asks for no answer of the judge's own there
        paths = FOLDER / ("arena_hard_creative.yaml" if is_creative else "arena_hard.yaml")
    files = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    entry: dict[str, Any] = {}
    for file in files:
        entry = _read_yaml(file) | entry
    source = ", ".join(map(str, files))
    template = entry.get("prompt_template")
    if isinstance(template, list):  # one element per turn; v0.1 has one turn
        if len(template) != 1:
            raise UserError(f"{source}: prompt_template holds {len(template)} texts, expected one: v0.1 has one turn.")
        template = template[0]
    if isinstance(template, str):
        template = FIELD.sub(lambda hole: "{" + ARENA_FIELDS.get(hole.group(1), hole.group(1)) + "}", template)
    return _prompt(entry | {"prompt_template": template}, set(ARENA_FIELDS.values()), source)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: no judge prompt could be read: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: found {type(values).__name__}, expected a mapping with system_prompt and so on.")
    return values


def _prompt(entry: Mapping[str, Any], fields: Iterable[str], source: str) -> JudgePrompt:
    for key in ("system_prompt", "prompt_template"):
        if not isinstance(entry.get(key), str):
            raise UserError(f'{source}: "{key}" is {entry.get(key)!r:.60}, expected text.')
    system, template = entry["system_prompt"], entry["prompt_template"]
    found, expected = set(FIELD.findall(template)), set(fields)
    if found != expected:
        raise UserError(
            f"{source}: prompt_template has the holes {', '.join(sorted(found)) or '(none)'}, "
            f"expected {', '.join(sorted(expected))}."
        )
    canonical = json.dumps([system, template], ensure_ascii=False, separators=(",", ":"))
    return JudgePrompt(system, template, hashlib.sha256(canonical.encode()).hexdigest())


def canonical_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sample rows by prompt and draw, so that no result depends on their order. Raises UserError for a double one."""
    if not rows:
        raise UserError("found no samples to judge, expected at least one. Next: sample again.")
    ordered = sorted(rows, key=_key)
    for one, other in itertools.pairwise(ordered):
        if _key(one) == _key(other):
            raise UserError(
                f"prompt {one['prompt_id']}, draw {one.get('draw', 0)} is there more than once, expected one response "
                "per prompt and draw. Next: sample again."
            )
    return ordered


def mean_by_question(frame: pd.DataFrame, scale: float = 1.0) -> dict[str, Any] | None:
    """Weighted mean of the valid scores, times `scale`, and the same over resampled questions.

    Of a question all games, turns and draws are drawn together: they are answers to one question, not independent
    ones (the released Arena-Hard draws single games, which makes its intervals too narrow). Replicate b draws the same
    questions for every sample set over the same questions, because only their number seeds it; a replicate without any
    valid score is None. `n` counts the questions with a valid score. None where there is no valid score at all.
    """
    score, weight = (np.asarray(frame[name], dtype=np.float64) for name in ("score", "weight"))
    weight = np.where(np.isnan(score), 0.0, weight)
    ids, place = np.unique(np.asarray(frame["prompt_id"], dtype=np.str_), return_inverse=True)
    questions = len(ids)
    scores = np.bincount(place, np.nan_to_num(score) * weight, minlength=questions)
    weights = np.bincount(place, weight, minlength=questions)
    if not weights.sum():
        return None
    often = np.random.default_rng(questions).multinomial(questions, np.full(questions, 1 / questions), size=DRAWS)
    drawn = zip((often @ scores).tolist(), (often @ weights).tolist(), strict=True)
    return {
        "value": float(scale * scores.sum() / weights.sum()),
        "replicates": [round(scale * total / of, DIGITS) if of else None for total, of in drawn],
        "n": int(np.count_nonzero(weights)),
    }


def _key(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["prompt_id"], row.get("draw", 0)
