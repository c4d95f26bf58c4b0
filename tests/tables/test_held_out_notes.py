"""What a table says of held-out preferences, from the manifests of their nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from prefrepro.files import write_json
from prefrepro.stats.metrics import VerdictSet
from prefrepro.tables.build import held_out


def lay(results: Path, name: str, **spec: Any) -> None:
    (results / "verdicts" / name).mkdir(parents=True)
    counts = {"pairs": 1200, "prompts": 300, "label_ties": 7, "won_pct": {spec["by"]: {"pair": 60.0}}}
    manifest = {"spec": {"part": "eval", "output": "logp"} | spec, **counts}
    write_json(results / f"verdicts/{name}/manifest.json", manifest)


def cell(row: str, verdict_id: str, evaluation: str = "preference") -> dict[str, Any]:
    return {"column_label": "HH", "row_label": row, "verdict_ids": [verdict_id], "evaluation": evaluation}


def nothing_judged(name: str) -> VerdictSet:
    raise AssertionError(name)


def test_pairs_ties_and_what_each_row_is_ranked_by(tmp_path: Path) -> None:
    lay(tmp_path, "dpo", by="reward")
    lay(tmp_path, "ipo", by="reward")
    lay(tmp_path, "base", by="logp")
    lay(tmp_path, "rm", by="reward", output="score")
    lay(tmp_path, "simpo", by="logp_per_token")
    cells = [
        cell("Base", "base"),
        cell("SimPO", "simpo"),
        cell("DPO", "dpo"),
        cell("IPO", "ipo"),
        cell("RM", "rm"),
        cell("x", "x", "pairwise"),
    ]
    assert held_out({"cells": cells}, tmp_path, nothing_judged) == [
        "HH: 1,200 labelled pairs of 300 prompts, part eval; ties of the labels, left out: 7. Ranked: Base by summed "
        "log-prob, without a reference; SimPO by log-prob per token, without a reference; DPO, IPO by log-ratio to the "
        "reference; RM by score of the reward model."
    ]


def test_a_judging_reward_models_own_accuracy_comes_from_its_node(tmp_path: Path) -> None:
    """60 of 100 prompts: Wilson's interval is [50.2, 69.1]."""
    lay(tmp_path, "rm", by="reward", output="score")
    rows = [
        {"prompt_id": f"{number:03}", "order": "pair", "verdict": word, "score": float(word == "win"), "weight": 1.0}
        for number, word in enumerate(["win"] * 60 + ["loss"] * 40)
    ]
    verdicts = VerdictSet(pd.DataFrame(rows).assign(verdict_set_id="rm", draw=0), {})
    spec = {"cells": [], "judge_checks": [{"column_label": "Win Rate", "id": "rm"}]}
    assert held_out(spec, tmp_path, {"rm": verdicts}.__getitem__) == [
        "Win Rate: the reward model that judges this column ranks 1,200 held-out labelled pairs right in 60.00 % "
        "[50.20, 69.06]."
    ]
    assert held_out({"cells": []}, tmp_path, nothing_judged) == []
