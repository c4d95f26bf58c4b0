"""Published verdicts, replayed through the local server and the real package, give the published number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alpaca_helpers import published_rows, published_verdicts, write_published
from faulty_judge import local_judge
from judge_helpers import make_config, stats

from prefrepro.judge.alpaca.evaluate import evaluate
from prefrepro.judge.client import JudgeClient
from prefrepro.specs.evaluation import Evaluation


def judged(tmp_path: Path, rows: list[dict[str, Any]], preferences: list[float], **spec: Any) -> Evaluation:
    """Replay `preferences` of `rows`; what the package asked of the server is asserted."""
    write_published(tmp_path / "published.json", rows, preferences)
    config = make_config(model="gpt-4-1106-preview", concurrency=8)
    with (
        local_judge(f"replay:{tmp_path / 'published.json'}") as endpoint,
        JudgeClient(config, tmp_path / "cache.sqlite", "replay", lambda: endpoint) as client,
    ):
        evaluation = evaluate(rows, client, spec)
        assert stats(endpoint)["answered"] == client.asked == 803, "two of the 805 pairs are one text"
    return evaluation


def test_weighted_verdicts_come_back_to_the_last_digit(tmp_path: Path, df_gamed: Path) -> None:
    """claude-2.1 on the leaderboard: win rate 15.7335…, length-controlled 25.2519, 115 wins, 688 losses, 2 draws."""
    rows, verdicts = published_rows("claude-2.1"), published_verdicts("claude-2.1")
    frame, metrics = judged(
        tmp_path, rows, verdicts["preference"].tolist(), length_controlled=True, gamed=str(df_gamed), replicates=20
    )
    scores = np.array(frame["score"].tolist())
    assert scores == pytest.approx(verdicts["preference"].to_numpy() - 1, abs=1e-12)
    assert 100 * scores.mean() == pytest.approx(15.733506736409938, abs=1e-9)
    assert [frame["verdict"].tolist().count(kind) for kind in ("win", "loss", "tie", "invalid")] == [115, 688, 2, 0]
    assert metrics["lc_wr"]["value"] == pytest.approx(25.251943886133027, abs=5e-3)
    assert (len(metrics["lc_wr"]["replicates"]), metrics["lc_wr"]["n"]) == (20, 805)


def test_ranked_verdicts_come_back_as_well(tmp_path: Path) -> None:
    """The same verdicts, rounded to the better of the two: the leaderboard's discrete_win_rate, by tool calls."""
    rows, verdicts = published_rows("claude-2.1"), published_verdicts("claude-2.1")
    rounded = verdicts["preference"].where(verdicts["preference"] == 1.5, verdicts["preference"].round())
    frame, _ = judged(tmp_path, rows, rounded.tolist(), annotator="fn")
    assert 100 * np.mean(frame["score"].tolist()) == pytest.approx(14.409937888198757, abs=1e-9)
