"""Every published set, judged again by every judge: calibration.csv, calibration_cells.csv, verdicts, and one page."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prefrepro.csv_schema.schema import load_schema, write_csv
from prefrepro.errors import UserError
from prefrepro.files import ROOT, write_text
from prefrepro.judge.connect import judge_client
from prefrepro.judge.pairwise import clean_response, judge_items
from prefrepro.judge.scorers import load_scorer, replay_key
from prefrepro.specs.files import read_mapping
from prefrepro.specs.judge import JudgeConfig, load_judge
from prefrepro.studies.calibration.cells import cells, printed_rates
from prefrepro.studies.calibration.measure import Shares, against, measure, shares_of
from prefrepro.studies.calibration.page import page
from prefrepro.studies.calibration.pairs import PublishedSet
from prefrepro.studies.calibration.people import gpt4_replies
from prefrepro.studies.calibration.published import published_sets

SCHEMA = "calibration"
FILES = ("calibration.csv", "calibration.md", "calibration_cells.csv", "calibration_verdicts.csv")
BUILT_IN = ("replay", "longer", "world")
"""Judges of every calibration: the published verdicts themselves, which must agree with themselves, «the longer one»,
and the embedded world's reward."""
GPT4 = "gpt-4-2023 (replies)"
KNOWN = Path(__file__).with_name("known.yaml")


def calibrate(
    folder: Path,
    results: Path,
    *,
    judges: Sequence[str],
    protocol: str,
    budget_usd: float | None = None,
    first: int | None = None,
) -> pd.DataFrame:
    """Write FILES to `results` and return the rows of calibration.csv.

    `paper` asks once, in the published order; `robust` asks in both. `first` takes so many verdicts of each set.
    A judge that cannot read a set has a row that says so. Raises UserError where nothing could be measured.
    """
    sets = [found._replace(pairs=found.pairs[:first]) for found in published_sets(folder)]
    configs = [_judge(name, budget_usd) for name in dict.fromkeys(judges)]
    replies, printed = gpt4_replies(folder), printed_rates(folder)
    rows, moved, frames = [], [], []
    for published in sets:
        shares = {GPT4: _published_shares(published, replies)} if published.is_human else {}
        for config in configs:
            if config.scorer == "replay" and published.is_human:
                continue  # people compare two answers; a replay gives each answer one score
            row, verdicts = _hold(published, config, results / "judge_cache.sqlite", protocol)
            rows.append(row)
            if verdicts is not None:
                frames.append(verdicts)
                shares[config.name] = shares_of(published.pairs, verdicts)
                moved += cells(published, config.name, shares[config.name], printed)
        rows += _beside(published, shares)
        rows += _each_other(published, {name: own for name, own in shares.items() if name not in BUILT_IN}, protocol)
    if not frames:
        raise UserError("no judge could judge a published set: " + "; ".join(str(row["note"]) for row in rows))
    frame = pd.DataFrame(rows, columns=pd.Index(list(load_schema(SCHEMA).kinds)), dtype=object)
    names = pd.Index(list(load_schema("calibration_cells").kinds))
    write_csv(pd.concat(frames, ignore_index=True), results / "calibration_verdicts.csv", "verdicts")
    write_csv(pd.DataFrame(moved, columns=names, dtype=object), results / "calibration_cells.csv", "calibration_cells")
    write_csv(frame, results / "calibration.csv", SCHEMA)
    judged_by = {found.name: found.judge for found in sets}
    write_text(results / "calibration.md", page(frame.to_dict("records"), moved, judged_by))
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
    row = _row(published, config.name, config.model, protocol)
    note = _unreadable(published, config)
    if note is not None:
        return {**row, "status": "refused", "note": note}, None
    verdicts = _judge_again(published, config, cache, protocol)
    measured = {**measure(published.pairs, verdicts), "cost_usd": sum(verdicts["cost_usd"])}
    return {**row, "status": "measured", **measured}, verdicts


def _row(published: PublishedSet, judge: str, model: str, protocol: str | None = None) -> dict[str, Any]:
    return {
        "published_set": published.name,
        "published_judge": published.judge,
        "judge": judge,
        "model": model,
        "protocol": protocol,
        "n_left_out": published.n_left_out,
    }


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
            text = json.dumps(replay_scores(published, protocol), sort_keys=True)
            identity = f"local:replay:{hashlib.sha256(text.encode()).hexdigest()}"
            scorer = f"replay:{folder}/scores.json"
            write_text(Path(folder) / "scores.json", text)
        with judge_client(config, cache, identity=identity, scorer=scorer) as client:
            order = [pair.candidate_first for pair in published.pairs]
            verdicts = judge_items(items, client, protocol=protocol, template=published.template, candidate_first=order)
        return verdicts.assign(verdict_set_id=f"calibration_{published.name}_{config.name}")


def _published_shares(published: PublishedSet, replies: Iterable[tuple[str, float, float]]) -> Shares:
    """GPT-4's published replies to these pairs, both orders; NaN for a pair without."""
    known = {pair_id: (first + second) / 2 for pair_id, first, second in replies}
    return np.array([known.get(pair.prompt_id, np.nan) for pair in published.pairs])


def _beside(published: PublishedSet, shares: dict[str, Shares]) -> list[dict[str, Any]]:
    """What people and the GPT-4 of 2023 make of a set of human labels."""
    rows = []
    if published.people is not None:
        n, *found = published.people
        ends = zip(("agreement_pct", "agreement_ci_low", "agreement_ci_high"), found, strict=True)
        note = "each person against the majority of the others"
        measured = {"n": n, **{name: 100 * value for name, value in ends}, "note": note}
        rows.append({**_row(published, "people", "people"), "status": "measured", **measured})
    if published.is_human and not np.isnan(shares[GPT4]).all():
        found = against(published.pairs, shares[GPT4])
        rows.append({**_row(published, GPT4, "gpt-4"), "status": "measured", **found})
    for name, known in read_mapping(KNOWN).items():
        if (agreement := known.get(published.name)) is not None:
            row = {**_row(published, name, "gpt-4"), "status": "published", "agreement_pct": agreement}
            rows.append({**row, "note": "mean of both orders, as printed: princeton-nlp/LLMBar"})
    return rows


def _each_other(published: PublishedSet, shares: dict[str, Shares], protocol: str) -> list[dict[str, Any]]:
    """Each two judges of this run: the first against what the second decided."""
    rows = []
    for judge, other in combinations([name for name, own in shares.items() if not np.isnan(own).all()], 2):
        decided = np.isin(shares[other], (0.0, 1.0))
        pairs = [pair for pair, kept in zip(published.pairs, decided, strict=True) if kept]
        theirs = [pair._replace(score=share) for pair, share in zip(pairs, shares[other][decided], strict=True)]
        if theirs:
            row = {**_row(published, judge, judge, protocol), "published_judge": other, "status": "measured"}
            rows.append({**row, **against(theirs, shares[judge][decided])})
    return rows


def replay_scores(published: PublishedSet, protocol: str = "paper") -> dict[str, float]:
    """Published shares as scores of a replay judge, by answers as it is shown them: the baseline's is ½, so the
    candidate's decides.

    Raises UserError where the same answer to the same prompt was judged in two ways.
    """
    scores: dict[str, float] = {}
    for pair in published.pairs:
        for response, score in ((pair.candidate, pair.score), (pair.baseline, 0.5)):
            key = replay_key(pair.history, clean_response(response) if protocol == "paper" else response)
            if scores.setdefault(key, score) != score:
                raise UserError(
                    f"{published.name}: prompt {pair.prompt_id} has the same answer with scores {scores[key]:g} and "
                    f"{score:g}; it cannot be replayed. Next: remove one of the two."
                )
    return scores
