"""Arena-Hard v0.1: labels of both years, two games, the score and its bootstrap, real battles."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from benchmark_helpers import answered, client_of
from faulty_judge import local_judge
from judge_helpers import stats
from scipy.optimize import minimize_scalar
from shared import SHARED

from prefrepro.csv_schema.schema import validate_frame
from prefrepro.data.benchmarks import arena_hard_prompts
from prefrepro.data.template import render_history
from prefrepro.data.world.questions import arena_questions
from prefrepro.data.world.reward import reward
from prefrepro.errors import UserError
from prefrepro.judge.arena_hard import CONTINUE, evaluate, read_2024, read_2025
from prefrepro.judge.benchmark import DRAWS, arena_hard_prompt, mean_by_question
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.dialects.arena_hard import label
from prefrepro.judge.endpoint import Endpoint
from prefrepro.specs.evaluation import Evaluation

Open = Callable[..., JudgeClient]
KEYS = ["prompt_id", "draw", "order", "verdict", "score", "weight", "prompt_sha256"]
RELEASED = SHARED / "data" / "arena_hard"
needs_released = pytest.mark.skipif(not RELEASED.is_dir(), reason=f"no released Arena-Hard files at {RELEASED}")
SAMPLES = answered(arena_questions(seed=3, n=30))
ROW = {
    "prompt_id": "q",
    "prompt": [{"role": "user", "content": "Why?"}],
    "response": "So.",
    "references": {"gpt-4-0314": "Because."},
    "draw": 0,
}


@pytest.fixture(scope="module")
def world() -> Iterator[Endpoint]:
    with local_judge("world") as endpoint:
        yield endpoint


def judge(client: JudgeClient, rows: list[dict[str, Any]] = SAMPLES, **spec: Any) -> Evaluation:
    return evaluate(rows, client, {"protocol": "paper", **spec})


def request(first: str, second: str, *more: dict[str, str]) -> dict[str, Any]:
    """What is asked of the judge about ROW: the release's temperature and tokens, no seed."""
    messages = arena_hard_prompt().messages(QUESTION="Why?", ANSWER_A=first, ANSWER_B=second)
    return {"model": "length-judge", "messages": [*messages, *more], "temperature": 0.0, "max_tokens": 4096}


def continued(first: str, second: str, judgment: str) -> dict[str, Any]:
    """The second attempt of 2024."""
    return request(first, second, {"role": "assistant", "content": judgment}, {"role": "user", "content": CONTINUE})


@pytest.mark.parametrize(
    ("reply", "in_2024", "in_2025"),
    [  # docs/judging.md#other-benchmarks; gen_judgment.py and show_result.py of both years
        ("My final verdict is: [[A>>B]]", (1.0, 3), (1.0, 3)),
        ("[[A>B]]", (1.0, 1), (1.0, 1)),
        ("tie: [[A=B]].", (0.5, 1), (0.5, 1)),
        ("[[B>A]]", (0.0, 1), (0.0, 1)),
        ("[[B>>A]]", (0.0, 3), (0.0, 3)),
        ("[[A>B]] … so [[A>B]]", (1.0, 1), (1.0, 1)),
        ("[[A>B]], no: [[B>A]]", None, (0.0, 1)),
        ("[[B>A]], no: [[A>>B]]", None, (1.0, 3)),
        ("[[a>>b]]", None, (1.0, 3)),
        ("[B>A]", None, (0.0, 1)),
        ("[A>B] but [[B>A]]", (0.0, 1), (0.0, 1)),
        ("[[A<<B]]", None, (0.0, 3)),
        ("[[A<B]]", None, (0.0, 1)),
        ("[[B=A]]", None, (0.5, 1)),
        ("[[B<A]]", None, (1.0, 1)),
        ("[[B<<A]]", None, (1.0, 3)),
        ("[[A]]", None, None),
        ("[[A>>>B]]", None, None),
        ("[[A > B]]", None, None),
        ("A>B", None, None),
        ("[[C]]", None, None),
        ("", None, None),
    ],
)
def test_labels(reply: str, in_2024: tuple[float, int] | None, in_2025: tuple[float, int] | None) -> None:
    assert read_2024(reply) == in_2024
    assert read_2025(reply) == in_2025


@pytest.mark.parametrize("year", ["2024", "2025"])
def test_two_games_by_the_known_reward(open_client: Open, world: Endpoint, year: str) -> None:
    """A judge without position bias: both games of a response end alike, much better counts three times."""
    frame, metrics = judge(open_client(world), verdict_regex=year)
    validate_frame(frame.assign(verdict_set_id="v"), "verdicts", "test")
    shares = {"A>>B": (1.0, 3.0), "A>B": (1.0, 1.0), "A=B": (0.5, 1.0), "B>A": (0.0, 1.0), "B>>A": (0.0, 3.0)}
    expected = {}
    for row in SAMPLES:
        history = render_history(row["prompt"])
        difference = reward(history, row["response"]) - reward(history, row["references"]["gpt-4-0314"])
        expected[row["prompt_id"]] = shares[label(difference)]
    assert set(expected.values()) == set(shares.values())
    for row in frame.to_dict("records"):
        assert (row["score"], row["weight"]) == expected[row["prompt_id"]]
    assert list(frame["order"][:2]) == ["baseline_first", "candidate_first"]
    shown_second = [row for row in frame.to_dict("records") if row["order"] == "baseline_first"]
    assert all(("B>" in row["raw_reply"]) == (row["verdict"] == "win") for row in shown_second)
    value = 100 * sum(score * weight for score, weight in expected.values()) / sum(w for _, w in expected.values())
    assert metrics["arena_hard_pct"]["value"] == pytest.approx(value, abs=1e-9)
    assert metrics["arena_hard_pct"]["n"] == 30


def test_the_order_of_the_rows_changes_nothing(open_client: Open, world: Endpoint) -> None:
    shuffled = list(SAMPLES)
    random.Random(1).shuffle(shuffled)
    client = open_client(world)
    first, second = judge(client), judge(client, shuffled)
    assert first.frame[KEYS].equals(second.frame[KEYS])
    assert first.metrics == second.metrics


@pytest.mark.parametrize("year", ["2024", "2025"])
def test_faults_and_nonsense_change_no_verdict(open_client: Open, world: Endpoint, tmp_path: Path, year: str) -> None:
    calm = judge(open_client(world), verdict_regex=year)
    kinds = ("--fault-kinds", "rate_limit,server_error,truncated,no_choices,nonsense")
    with local_judge("world", *kinds, fault_rate=0.3, fault_seed=1) as shaky:
        client = open_client(shaky, cache=tmp_path / "stormy.sqlite", reasks=8)
        stormy = judge(client, verdict_regex=year)
        counted = stats(shaky)
    assert counted["faults"] > 5 and counted["nonsense"] > 0
    assert client.asked == 60 + counted["nonsense"], "each nonsense is followed by one more call"
    assert stormy.frame[KEYS].equals(calm.frame[KEYS])
    assert stormy.metrics == calm.metrics


def test_a_judgment_without_label_is_continued_once(tmp_path: Path) -> None:
    """Both parts are read as one judgment; the row's address is the second call's."""
    replies = [
        (request("Because.", "So."), ["A is long."]),
        (continued("Because.", "So.", "A is long."), ["[[B>>A]]"]),
        (request("So.", "Because."), ["[[A>B]]"]),
    ]
    frame, metrics = judge(client_of(replies, tmp_path / "c.sqlite"), [ROW])
    validate_frame(frame.assign(verdict_set_id="v"), "verdicts", "test")
    assert list(zip(frame["verdict"], frame["score"], frame["weight"], strict=True)) == [("win", 1, 3), ("win", 1, 1)]
    assert list(frame["raw_reply"]) == ["[[B>>A]]", "[[A>B]]"]
    assert metrics["arena_hard_pct"]["value"] == 100.0


def test_two_labels_are_not_continued_but_played_again(tmp_path: Path) -> None:
    replies = [
        (request("Because.", "So."), ["[[A>B]] or [[B>A]]", "[[A>B]]"]),
        (request("So.", "Because."), ["[[A=B]]"]),
    ]
    frame, metrics = judge(client_of(replies, tmp_path / "c.sqlite", reasks=1), [ROW])
    assert list(frame["verdict"]) == ["loss", "tie"]
    assert metrics["arena_hard_pct"]["value"] == 25.0


@pytest.mark.parametrize(
    ("year", "verdicts", "value"), [("2024", ["invalid", "win"], 100.0), ("2025", ["invalid"] * 2, None)]
)
def test_an_unreadable_game_is_dropped_or_takes_the_other_with_it(
    tmp_path: Path, year: str, verdicts: list[str], value: float | None
) -> None:
    """2024 leaves out the game, 2025 the response; the raw replies stay."""
    replies = [
        (request("Because.", "So."), ["No."]),
        (continued("Because.", "So.", "No."), ["No!"]),
        (request("So.", "Because."), ["[[A>>B]]"]),
    ]
    client = client_of(replies, tmp_path / "c.sqlite", reasks=0, invalid_limit=0.5)
    frame, metrics = judge(client, [ROW], verdict_regex=year)
    validate_frame(frame.assign(verdict_set_id="v"), "verdicts", "test")
    assert list(frame["verdict"]) == verdicts
    assert list(frame["raw_reply"])[1] == "[[A>>B]]"
    assert metrics.get("arena_hard_pct", {}).get("value") == value


def test_nonsense_stops_above_the_limit(open_client: Open) -> None:
    with local_judge("nonsense") as nonsense:
        with pytest.raises(UserError, match="60 of 60 verdicts are invalid"):
            judge(open_client(nonsense, reasks=1))
        assert stats(nonsense)["requests"] == 60 * 2 * 2, "asked, continued, and both once again"


@pytest.mark.parametrize(
    ("change", "spec", "said"),
    [
        ({"references": {}}, {}, 'no answer of the baseline "gpt-4-0314"; it has none'),
        ({}, {"reference": "gpt4"}, 'no answer of the baseline "gpt4"; it has gpt-4-0314'),
        ({"prompt": ROW["prompt"] * 2}, {}, "has 2 user turns"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    open_client: Open, change: dict[str, Any], spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        judge(open_client(), [{**ROW, **change}], **spec)


def battles(scores: Sequence[Sequence[float | None]]) -> pd.DataFrame:
    """One question per list, a game per score."""
    rows = [(f"q{place:03d}", score, 1.0) for place, games in enumerate(scores) for score in games]
    return pd.DataFrame(rows, columns=pd.Index(["prompt_id", "score", "weight"]))


def test_bootstrap_draws_questions_and_not_games() -> None:
    """Two games that always agree: the spread is that of 40 questions, not of 80 games (√2 less)."""
    rng = np.random.default_rng(0)
    wins = rng.integers(0, 2, 40).astype(float)
    mean = mean_by_question(battles([[win, win] for win in wins]), scale=100.0)
    assert mean is not None and len(mean["replicates"]) == DRAWS
    spread = 100 * np.sqrt(wins.mean() * (1 - wins.mean()) / 40)
    assert np.std(mean["replicates"]) == pytest.approx(spread, rel=0.05)
    assert np.mean(mean["replicates"]) == pytest.approx(mean["value"], abs=1)


def test_replicates_of_two_sets_drew_the_same_questions() -> None:
    """The replicates of a sum are the sums of the replicates; an invalid verdict does not shift them."""
    rng = np.random.default_rng(1)
    first, second = rng.random((2, 25))
    one, other, both = (
        mean_by_question(battles([[float(score)] for score in scores])) for scores in (first, second, first + second)
    )
    assert one and other and both
    total = np.asarray(one["replicates"]) + np.asarray(other["replicates"])
    assert np.asarray(both["replicates"]) == pytest.approx(total, abs=2e-6)
    gap = mean_by_question(battles([[None], *([[1.0]] * 24)]))
    assert gap is not None and (gap["value"], gap["n"]) == (1.0, 24)


def test_a_replicate_of_invalid_questions_only_is_empty() -> None:
    gap = mean_by_question(battles([[None], [0.5]]))
    assert gap is not None and set(gap["replicates"]) == {0.5, None}
    assert mean_by_question(battles([[None], [None]])) is None


def shares(frame: pd.DataFrame) -> list[float]:
    """Of the released battles: model_b's share."""
    return [{"model_a": 0.0, "tie": 0.5, "model_b": 1.0}[winner] for winner in frame["winner"]]


def bradley_terry_pct(scores: np.ndarray, weights: np.ndarray) -> float:
    """100 · the maximum-likelihood win rate of one model against its only opponent, by search over its strength."""

    def negative_log_likelihood(strength: float) -> float:
        return float(weights @ (scores * np.logaddexp(0, -strength) + (1 - scores) * np.logaddexp(0, strength)))

    best = minimize_scalar(negative_log_likelihood, bounds=(-20, 20), method="bounded", options={"xatol": 1e-10})
    return 100 / (1 + np.exp(-best.x))


@needs_released
def test_bradley_terry_of_real_battles_is_the_weighted_mean() -> None:
    """2,136 battles of four models with one baseline (claude-3-haiku, model_a); a >> stands there three times."""
    lines = (RELEASED / "battles_sample_claude-3-haiku-baseline.jsonl").read_text(encoding="utf-8").splitlines()
    frame = pd.DataFrame(map(json.loads, lines))
    frame = frame.assign(weight=1.0, score=shares(frame), prompt_id=frame["question_id"].astype(str))
    values = {}
    for model, games in frame.groupby("model_b"):
        mean = mean_by_question(games, scale=100.0)
        assert mean is not None
        scores, weights = games["score"].to_numpy(dtype=float), games["weight"].to_numpy(dtype=float)
        assert mean["value"] == pytest.approx(bradley_terry_pct(scores, weights), abs=1e-6)
        values[model] = round(mean["value"], 2)
    assert len(frame) == 2136 and len(values) == 4
    assert values["gpt-4o"] == round(100 * (478 + 3) / 554, 2)


@needs_released
def test_bradley_terry_over_all_models_at_once_is_the_same() -> None:
    """The release fits all models together; with one baseline each gets its own weighted mean."""
    from sklearn.linear_model import LogisticRegression

    lines = (RELEASED / "battles_sample_claude-3-haiku-baseline.jsonl").read_text(encoding="utf-8").splitlines()
    frame = pd.DataFrame(map(json.loads, lines)).assign(score=lambda battles: shares(battles))
    models = sorted(set(frame["model_a"]) | set(frame["model_b"]))
    place = {model: number for number, model in enumerate(models)}
    design, won = [], []
    for battle in frame.to_dict("records"):
        row = np.zeros(len(models))
        row[place[battle["model_a"]]], row[place[battle["model_b"]]] = 1, -1
        for half in (0, 1):  # a tie is won once by each
            design.append(row)
            won.append(battle["winner"] == "model_a" or (battle["winner"] == "tie" and half == 0))
    fit = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10, max_iter=1000).fit(np.array(design), won)
    strength = fit.coef_[0]
    for model, games in frame.groupby("model_b"):
        odds = strength[place[str(model)]] - strength[place["claude-3-haiku-20240307"]]
        assert 100 / (1 + np.exp(-odds)) == pytest.approx(100 * games["score"].mean(), abs=1e-3)


@needs_released
def test_the_released_questions_under_the_released_prompts(open_client: Open) -> None:
    """50 real answers of gpt-3.5-turbo-0125 against the baseline's, by length: all prompts are read back."""
    rows = arena_hard_prompts(RELEASED / "question_v0.1.jsonl", RELEASED / "baseline_gpt-4-0314_answers.jsonl")
    answers = arena_hard_prompts(RELEASED / "question_v0.1.jsonl", RELEASED / "gpt-3.5-turbo-0125_answers.jsonl")
    samples = [
        {**row, "response": other["references"]["gpt-3.5-turbo-0125"], "draw": 0}
        for row, other in list(zip(rows, answers, strict=True))[:50]
    ]
    client = open_client()
    old = judge(client, samples, judge_prompts=str(RELEASED / "judge_config_v0.1_original_2024.yaml"))
    shorter = [len(row["response"]) < len(row["references"]["gpt-4-0314"]) for row in samples]
    equal = [len(row["response"]) == len(row["references"]["gpt-4-0314"]) for row in samples]
    assert not any(equal)
    by_prompt = dict(zip([row["prompt_id"] for row in samples], shorter, strict=True))
    assert all((row["verdict"] == "win") == by_prompt[row["prompt_id"]] for row in old.frame.to_dict("records"))
    files = [RELEASED / "judge_config_v0.1_2025.yaml", RELEASED / "judge_config_v0.1_original_2024.yaml"]
    new = judge(client, samples, judge_prompts=list(map(str, files)), verdict_regex="2025")
    assert new.frame[KEYS].equals(old.frame[KEYS]), "the two years show the same text"
    assert set(old.frame["prompt_sha256"]) != {arena_hard_prompt().sha256}
