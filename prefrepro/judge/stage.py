"""Judge one sample set: samples.jsonl in, verdicts.csv and manifest.json out, by the evaluation that the spec names.

Knows nothing of Snakemake, scales or tables: the caller says who judges, how, and where the replies are kept.
"""

from __future__ import annotations

import importlib
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from prefrepro.csv_schema.schema import write_csv
from prefrepro.data.jsonl import no_key_twice
from prefrepro.data.template import TAGS
from prefrepro.errors import UserError
from prefrepro.files import write_json
from prefrepro.judge.connect import judge_client
from prefrepro.specs.evaluation import EVALUATIONS, Evaluation
from prefrepro.specs.judge import judge_config
from prefrepro.specs.rules import is_whole
from prefrepro.specs.runtime import DEFAULT, Runtime


def judge_samples(
    samples_jsonl: Path,
    out_dir: Path,
    *,
    verdict_set_id: str,
    spec: dict[str, Any],
    cache: Path,
    scorer_path: Path | None,
    identity: str,
) -> dict[str, Any]:
    """Write out_dir/verdicts.csv and return its counts, metrics, replies asked and cached, USD and seconds.

    `spec` is the verdict node's: judge, evaluation, protocol and what the evaluation wants. `identity` names a local
    judge in the cache (its port changes); an API judge is named by its base URL. `scorer_path` is the folder of a
    reward-model judge. Raises UserError.
    """
    started = time.monotonic()
    judge = spec["judge"]
    config = judge_config(judge, f'judge "{judge.get("name", "?")}"')
    rows = read_rows(samples_jsonl)
    scorer = f"reward-model:{scorer_path}" if scorer_path and config.scorer == "reward-model" else None
    with judge_client(config, cache, identity=identity, scorer=scorer) as client:
        evaluate = importlib.import_module(EVALUATIONS[spec["evaluation"]]).evaluate
        frame, metrics = Evaluation(*evaluate(rows, client, config, spec, verdict_set_id))
        replies = {"asked": client.asked, "cached": client.cached, "reasked": client.reasked}
    write_csv(frame, out_dir / "verdicts.csv", "verdicts")
    verdicts = Counter(frame["verdict"])
    return {
        "n": len(frame),
        "prompts_cut": sum(row.get("prompts_cut", 0) for row in rows),
        "verdicts": dict(sorted(verdicts.items())),
        "metrics": metrics,
        "cost_usd": sum(frame["cost_usd"]),
        **replies,
        "judge_asked": config.model,
        "judge_served": _served(frame),
        "wall_s": round(time.monotonic() - started, 3),
    }


def read_rows(samples_jsonl: Path) -> list[dict[str, Any]]:
    """The sample rows in the file's order, each with its prompt, response and draw checked."""
    rows, problems = [], []
    try:
        lines = samples_jsonl.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{samples_jsonl}: no samples could be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(_checked(json.loads(line, object_pairs_hook=no_key_twice)))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            problems.append(f"{samples_jsonl}, line {number}: {type(error).__name__}: {error}")
    if problems:
        more = f"\nand {len(problems) - 10} more" if len(problems) > 10 else ""
        raise UserError(
            "\n".join(problems[:10]) + more + "\nExpected prompt_id, prompt [{role, content} …], response and what "
            "it is held against. Next: delete the file and sample again."
        )
    if not rows:
        raise UserError(f"{samples_jsonl}: found no samples, expected at least one. Next: sample again.")
    return rows


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    """Texts are such as UTF-8 holds: a lone surrogate could neither be sent nor hashed."""
    if not isinstance(row, dict):
        raise TypeError(f"found {type(row).__name__}, expected an object")
    if row["prompt_id"] == "" or not isinstance(row["prompt"], list) or not row["prompt"]:
        raise ValueError("an empty prompt_id, or a prompt that is no list of messages")
    optional = [key for key in ("baseline", "history") if key in row]
    texts = {key: row[key] for key in ("prompt_id", "response", *optional)}
    for place, message in enumerate(row["prompt"]):
        if message["role"] not in list(TAGS):  # a list, because any JSON value may stand there
            raise ValueError(f"a message of role {message['role']!r:.40}; known roles: {', '.join(TAGS)}")
        texts[f"prompt[{place}]"] = message["content"]
    for key in ("turns", "responses", "reference_answers"):
        texts |= {f"{key}[{place}]": text for place, text in enumerate(row.get(key) or [])}
    for key, text in (texts | (row.get("references") or {})).items():
        if not isinstance(text, str):
            raise TypeError(f"{key} is {type(text).__name__}, expected text")
        text.encode()
    row.setdefault("draw", 0)
    if not is_whole(row["draw"], 0):
        raise ValueError(f"draw is {row['draw']!r:.40}, expected a whole number of at least 0")
    return row


def _served(frame: pd.DataFrame) -> str:
    return "; ".join(sorted({served for served in frame["judge_served"] if served}))


def run(spec: dict[str, Any], inputs: dict[str, Path], out: Path, runtime: Runtime = DEFAULT) -> None:
    """The verdict node of the DAG: verdicts.csv and manifest.json in `out`.

    The cache stands beside the results of all sample sets, so that no reply is paid for twice.
    """
    judge = dict(spec["judge"])
    if runtime.budget_usd is not None:
        judge["budget_usd"] = runtime.budget_usd
    scored_by = inputs["scorer"].name if "scorer" in inputs else spec.get("scorer_digest", "")
    counts = judge_samples(
        inputs["sample"] / "samples.jsonl",
        out,
        verdict_set_id=out.name,
        spec=spec | {"judge": judge},
        cache=out.parent.parent / "judge_cache.sqlite",
        scorer_path=inputs.get("scorer"),
        identity=f"local:{judge.get('scorer')}:{scored_by}",
    )
    write_json(out / "manifest.json", {"spec": spec, **counts})
