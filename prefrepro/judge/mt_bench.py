"""MT-Bench, single grading (Zheng et al., 2023, arXiv:2306.05685; lm-sys/FastChat @ 0e6d3e4, fastchat/llm_judge).

Each turn of a two-turn conversation gets a rating from 1 to 10; the second is rated in the light of the first. Where a
row has reference answers (FastChat: categories math, reasoning, coding) the judge is shown them. The score is the mean
of all ratings, two a question. An unreadable rating is asked for again and stays apart as invalid; FastChat writes -1
and drops it from the mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from prefrepro.data.benchmarks import REFERENCE_CATEGORIES
from prefrepro.errors import UserError
from prefrepro.judge.asking import Question, ask_until_read, judge_all
from prefrepro.judge.benchmark import JudgePrompt, canonical_rows, mean_by_question, mt_bench_prompts
from prefrepro.judge.client import JudgeClient, Reply, chat_request
from prefrepro.specs.evaluation import Evaluation
from prefrepro.specs.judge import JudgeConfig

MAX_TOKENS = 2048  # common.py, run_judge_single
RATING = re.compile(r"\[\[(\d+\.?\d*)\]\]", re.ASCII)  # common.py, one_score_pattern
RATING_BACKUP = re.compile(r"\[(\d+\.?\d*)\]", re.ASCII)  # common.py, one_score_pattern_backup
RATINGS = RATING
LOWEST, HIGHEST = 1.0, 10.0
TURNS = 2


def evaluate(rows: Sequence[Mapping[str, Any]], client: JudgeClient, spec: Mapping[str, Any]) -> Evaluation:
    """One row per prompt, draw and turn, verdict `rated`; means over all ratings, over each turn and each category.

    `rows` have `turns`, `responses` (two each), `category` and, where there are any, `reference_answers`.
    `spec["judge_prompts"]` is the path of a released judge_prompts.jsonl; without it our own wording asks. The
    judge's config holds but for seed and max_tokens, which are FastChat's: none and 2048, unless its `limits` say
    otherwise; its temperature, too, is the config's default. Raises UserError.
    """
    config, prompts = client.config, mt_bench_prompts(spec.get("judge_prompts"))
    ordered = canonical_rows(rows)
    questions = [question(row, turn, prompts, config) for row in ordered for turn in range(1, TURNS + 1)]

    def ask(question: Question) -> tuple[dict[str, Any], list[Reply]]:
        rating, replies = ask_until_read(client, question.request, read_rating)
        return {"verdict": "invalid" if rating is None else "rated", "score": rating, "weight": 1.0}, replies

    frame = judge_all(questions, ask, client, spec["protocol"])
    return Evaluation(frame, _metrics(frame, {row["prompt_id"]: row["category"] for row in ordered}))


def read_rating(reply: str) -> float | None:
    """The first [[number]], else the first [number]; None where there is none or it is not from 1 to 10."""
    found = RATING.search(reply) or RATING_BACKUP.search(reply)
    rating = float(found.group(1)) if found else None
    return rating if rating is not None and LOWEST <= rating <= HIGHEST else None


def question(row: Mapping[str, Any], turn: int, prompts: Mapping[str, JudgePrompt], config: JudgeConfig) -> Question:
    """What is asked about one turn, 1 or 2, of a row. Raises UserError where the row is no two-turn conversation."""
    texts = _texts(row)
    has_reference = "ref_answer_1" in texts
    name = ("single-math-v1" if has_reference else "single-v1") + ("-multi-turn" if turn == TURNS else "")
    if turn == 1:
        texts |= {"question": texts["question_1"], "answer": texts["answer_1"]}
    limit = config.limit_of("mt_bench", MAX_TOKENS)
    request = chat_request(config, prompts[name].messages(**texts), max_tokens=limit, seed=None)
    about = {"prompt_id": row["prompt_id"], "draw": row.get("draw", 0), "order": f"turn_{turn}"}
    return Question(request, about | {"prompt_sha256": prompts[name].sha256})


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    """What fills the prompts. Raises UserError where a row is no two-turn conversation."""
    texts = {}
    for key, name, needed in (
        ("turns", "question", True),
        ("responses", "answer", True),
        ("reference_answers", "ref_answer", row.get("category") in REFERENCE_CATEGORIES),
    ):
        values = row.get(key)
        if values is None and not needed:
            continue
        if not isinstance(values, list) or len(values) != TURNS or not all(isinstance(text, str) for text in values):
            raise UserError(
                f"prompt {row['prompt_id']} ({row.get('category', 'no category')}): {key} is {values!r:.60}, expected "
                f"{TURNS} texts. Next: build the prompt set of MT-Bench, with its reference answers, and sample again."
            )
        texts |= {f"{name}_{turn}": text for turn, text in enumerate(values, start=1)}
    if not isinstance(row.get("category"), str):
        raise UserError(f"prompt {row['prompt_id']} has no category, expected MT-Bench's or the embedded world's.")
    return texts


def _metrics(frame: pd.DataFrame, categories: Mapping[str, str]) -> dict[str, Any]:
    parts = {"mt_bench": frame}
    parts |= {f"mt_bench_{turn}": part for turn, part in frame.groupby("order")}
    parts |= {f"mt_bench_{name}": part for name, part in frame.groupby([categories[one] for one in frame["prompt_id"]])}
    means = {name: mean_by_question(part) for name, part in parts.items()}
    return {name: mean for name, mean in means.items() if mean is not None}
