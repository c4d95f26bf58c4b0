"""Every published set, judged again by every judge: calibration.csv, its verdicts, and one page."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from prefrepro.csv_schema.schema import load_schema, write_csv
from prefrepro.errors import UserError
from prefrepro.files import ROOT, write_text
from prefrepro.judge.connect import judge_client
from prefrepro.judge.pairwise import clean_response, judge_items
from prefrepro.judge.scorers import load_scorer, replay_key
from prefrepro.specs.judge import JudgeConfig, load_judge
from prefrepro.studies.calibration.measure import measure
from prefrepro.studies.calibration.published import PublishedSet, published_sets

SCHEMA = "calibration"
BUILT_IN = ("replay", "length", "world")
"""Judges that every calibration holds against the published ones: the published verdicts themselves, which must agree
with themselves, the shorter answer, and the embedded world's reward."""


def calibrate(
    folder: Path,
    results: Path,
    *,
    judges: Sequence[str],
    protocol: str,
    budget_usd: float | None = None,
    first: int | None = None,
) -> pd.DataFrame:
    """Write results/calibration{.csv,.md,_verdicts.csv} and return the rows.

    `paper` asks once, in the published order; `robust` asks in both. `first` takes so many verdicts of each set.
    A judge that cannot read a set has a row that says so. Raises UserError where nothing could be measured.
    """
    sets = [dataclasses.replace(found, pairs=found.pairs[:first]) for found in published_sets(folder)]
    configs = [_judge(name, budget_usd) for name in dict.fromkeys(judges)]
    rows, frames = [], []
    for published in sets:
        for config in configs:
            row, verdicts = _hold(published, config, results / "judge_cache.sqlite", protocol)
            rows.append(row)
            frames += [] if verdicts is None else [verdicts]
    if not frames:
        raise UserError("no judge could judge a published set: " + "; ".join(str(row["note"]) for row in rows))
    columns = list(load_schema(SCHEMA).kinds)
    frame = pd.DataFrame(rows, columns=pd.Index(columns), dtype=object)
    write_csv(pd.concat(frames, ignore_index=True), results / "calibration_verdicts.csv", "verdicts")
    write_csv(frame, results / "calibration.csv", SCHEMA)
    write_text(results / "calibration.md", page(frame))
    return frame


def _judge(name: str, budget_usd: float | None) -> JudgeConfig:
    if name in BUILT_IN:
        return JudgeConfig(name=name, kind="local", model=f"{name}-judge", scorer=name)
    config = load_judge(ROOT / "config" / "judges" / f"{name}.yaml")
    return config if budget_usd is None else dataclasses.replace(config, budget_usd=budget_usd)


def _hold(
    published: PublishedSet, config: JudgeConfig, cache: Path, protocol: str
) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """One judge against one set: its row, and its verdicts where it can judge."""
    row = {
        "published_set": published.name,
        "published_judge": published.judge,
        "judge": config.name,
        "model": config.model,
        "protocol": protocol,
        "n_left_out": published.n_left_out,
    }
    note = _unreadable(published, config)
    if note is not None:
        return {**row, "status": "refused", "note": note}, None
    verdicts = _judge_again(published, config, cache, protocol)
    measured = {**measure(published.pairs, verdicts), "cost_usd": sum(verdicts["cost_usd"])}
    return {**row, "status": "measured", **measured}, verdicts


def _unreadable(published: PublishedSet, config: JudgeConfig) -> str | None:
    """Why a judge that knows one world only cannot score this set."""
    if config.scorer != "world":
        return None
    try:
        load_scorer("world")(published.pairs[0].history, published.pairs[0].candidate)
    except LookupError:
        return "scorer world knows the embedded world's questions and posts only; this set is of another"
    return None


def _judge_again(published: PublishedSet, config: JudgeConfig, cache: Path, protocol: str) -> pd.DataFrame:
    items = [
        {"prompt_id": pair.prompt_id, "history": pair.history, "response": pair.candidate, "baseline": pair.baseline}
        for pair in published.pairs
    ]
    with tempfile.TemporaryDirectory(prefix="prefrepro-replay-") as folder:
        scorer, identity = None, ""
        if config.scorer == "replay":
            text = json.dumps(replay_scores(published), sort_keys=True)
            identity = f"local:replay:{hashlib.sha256(text.encode()).hexdigest()}"
            scorer = f"replay:{folder}/scores.json"
            write_text(Path(folder) / "scores.json", text)
        with judge_client(config, cache, identity=identity, scorer=scorer) as client:
            order = [pair.candidate_first for pair in published.pairs]
            verdicts = judge_items(items, client, protocol=protocol, template=published.template, candidate_first=order)
        return verdicts.assign(verdict_set_id=f"calibration_{published.name}_{config.name}")


def replay_scores(published: PublishedSet) -> dict[str, float]:
    """Published shares as scores of a replay judge: the baseline's is ½, so the candidate's decides.

    Raises UserError where the same answer to the same prompt was judged in two ways.
    """
    scores: dict[str, float] = {}
    for pair in published.pairs:
        for response, score in ((pair.candidate, pair.score), (pair.baseline, 0.5)):
            key = replay_key(pair.history, clean_response(response))
            if scores.setdefault(key, score) != score:
                raise UserError(
                    f"{published.name}: prompt {pair.prompt_id} has the same answer with scores {scores[key]:g} and "
                    f"{score:g}; it cannot be replayed. Next: remove one of the two."
                )
    return scores


def page(frame: pd.DataFrame) -> str:
    """The rows as Markdown."""
    rows = [
        {
            "set": row["published_set"],
            "judge": row["judge"],
            "n": _number(row["n"], "d"),
            "agreement %": _with_interval(row, "agreement_pct", "agreement"),
            "κ": _with_interval(row, "kappa", "kappa"),
            "win rate %": _number(row["win_rate_pct"]),
            "published %": _number(row["published_win_rate_pct"]),
            "shift pp": _with_interval(row, "shift_pp", "shift"),
            "first shown %": _with_interval(row, "first_shown_pct", "first_shown"),
            "expected %": _number(row["first_shown_null_pct"]),
            "note": row["note"] if isinstance(row["note"], str) else "",
        }
        for row in frame.to_dict("records")
    ]
    return (
        "# Calibration: judges against published verdicts\n\n"
        "The judge `replay` returns the published verdicts: its agreement must be 100 and its shift 0.\n"
        "`first shown`: share of the judge's verdicts for the answer shown first, over prompts; `expected`: the same\n"
        "of a judge without position bias, 50 where both orders are as frequent.\n"
        "Brackets hold 95 % intervals. AlpacaEval's preferences are cut at ½, asked for with our pairwise prompt.\n\n"
        + tabulate(rows, "keys", tablefmt="github", disable_numparse=True)
        + "\n"
    )


def _with_interval(row: dict[str, Any], value: str, prefix: str) -> str:
    if pd.isna(row[value]):
        return ""
    low, high = _number(row[f"{prefix}_ci_low"]), _number(row[f"{prefix}_ci_high"])
    return f"{_number(row[value])} [{low}, {high}]"


def _number(value: Any, form: str = ".2f") -> str:
    if pd.isna(value):
        return ""
    return f"{int(value)}" if form == "d" else format(round(float(value), 2) + 0.0, form)  # + 0.0: no «-0.00»
