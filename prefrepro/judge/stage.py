"""Judge one sample set: samples.jsonl in, verdicts.csv and manifest.json out, by the evaluation that the spec names."""

from __future__ import annotations

import importlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefrepro.csv_schema.schema import write_csv
from prefrepro.data.jsonl import no_key_twice
from prefrepro.data.template import TAGS
from prefrepro.errors import UserError
from prefrepro.files import write_json
from prefrepro.judge.connect import judge_client
from prefrepro.judge.repeats import ask_again, by_request
from prefrepro.specs.evaluation import EVALUATIONS
from prefrepro.specs.judge import judge_config
from prefrepro.specs.rules import is_whole
from prefrepro.specs.runtime import DEFAULT, Runtime


def run(spec: dict[str, Any], inputs: dict[str, Path], out: Path, runtime: Runtime = DEFAULT) -> None:
    """The verdict node of the DAG: verdicts.csv, and manifest.json with counts, metrics, replies, USD and seconds.

    `spec`: judge, evaluation, protocol and what the evaluation wants. The cache stands beside the results of all sample
    sets, so that no reply is paid for twice; in it an API judge is named by its base URL, a local one by its scorer
    (its port changes). Raises UserError.
    """
    started = time.monotonic()
    judge = dict(spec["judge"])
    if runtime.budget_usd is not None:
        judge["budget_usd"] = runtime.budget_usd
    config = judge_config(judge, f'judge "{judge.get("name", "?")}"')
    rows = read_rows(inputs["sample"] / "samples.jsonl")
    scored_by = inputs["scorer"].name if "scorer" in inputs else spec.get("scorer_digest", "")
    identity = f"local:{judge.get('scorer')}:{scored_by}"
    is_trained = "scorer" in inputs and config.scorer == "reward-model"
    scorer = f"reward-model:{inputs['scorer']}" if is_trained else None
    with judge_client(config, out.parent.parent / "judge_cache.sqlite", identity=identity, scorer=scorer) as client:
        module = importlib.import_module(EVALUATIONS[spec["evaluation"]])
        evaluate = module.evaluate
        frame, metrics = evaluate(rows, client, spec)
        again = ask_again(evaluate, rows, client, spec)
        replies = {"asked": client.asked, "cached": client.cached, "reasked": client.reasked}
    write_csv(frame.assign(verdict_set_id=out.name), out / "verdicts.csv", "verdicts")
    manifest = {
        "spec": spec,
        "n": len(frame),
        "prompts_cut": sum(row.get("prompts_cut", 0) for row in rows),
        "verdicts": dict(sorted(Counter(frame["verdict"]).items())),
        "metrics": metrics,
        "groups": sorted({(row["prompt_id"], row["category"]) for row in rows if row.get("category")}),
        "repeats": by_request(frame, again),
        "several_ratings": several_ratings(frame["raw_reply"].dropna(), getattr(module, "RATINGS", None)),
        "cost_usd": sum(frame["cost_usd"]) + sum(row["cost_usd"] for row in again),
        **replies,
        "judge_asked": config.model,
        "judge_identity": client.identity,
        "judge_served": "; ".join(sorted({served for served in frame["judge_served"] if served})),
        "wall_s": round(time.monotonic() - started, 3),
    }
    write_json(out / "manifest.json", manifest)


def several_ratings(replies: Iterable[str], ratings: re.Pattern[str] | None) -> int | None:
    """How many replies hold several different ones; only one of them was read. None where no text is rated."""
    return None if ratings is None else sum(len(set(ratings.findall(reply))) > 1 for reply in replies)


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
            "\n".join(problems[:10]) + more + "\nExpected prompt_id, prompt [{role, content} …], response and the "
            "response that it is compared with. Next: delete the file and sample again."
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
