"""The data node of the DAG: rows of one dataset, split, counted and hashed, in canonical JSONL files.

pretrain.jsonl {prompt, completion} · train, eval, judge.jsonl {prompt_id, prompt, chosen, rejected} (or, for ranked
data, {prompt_id, prompt, completions, scores}) · prompts.jsonl {prompt_id, prompt, baseline}: what every model
answers · manifest.json: counts and hashes. Knows nothing of models or methods.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prefrepro.data import hh
from prefrepro.data.rows import Counts, PreferenceRow, RankedRow, preference_rows, ranked_rows
from prefrepro.data.splits import eval_prompt_order, split_of, unique_prompts
from prefrepro.data.world import generate
from prefrepro.errors import UserError
from prefrepro.files import replacing, sha256_file, write_json

PARTS = ("train", "eval", "judge")
SALT = "prefrepro"


def build(spec: dict[str, Any], inputs: dict[str, Path], out: Path) -> None:
    """Write the dataset of `spec` into `out`. Raises UserError for bad rows and for data too small for its prompts."""
    source = spec["source"]
    parts, pretrain, counts = (_world if source["kind"] == "world" else _hh)(source)
    files = {"pretrain": pretrain, **{name: [_line(row) for row in rows] for name, rows in parts.items()}}
    files["prompts"] = list(_prompts(parts["eval"], source))
    for name, lines in files.items():
        _write(out / f"{name}.jsonl", lines)
    hashes = {name: sha256_file(out / f"{name}.jsonl") for name in files}
    manifest = {
        "spec": spec,
        "rows": {name: len(lines) for name, lines in files.items()},
        "sha256": hashes,
        **counts,
    }
    write_json(out / "manifest.json", manifest)


Parts = dict[str, list[Any]]
Built = tuple[Parts, list[dict[str, Any]], dict[str, Any]]


def _world(spec: dict[str, Any]) -> Built:
    wanted, counts = spec["rows"], Counts()
    for name in PARTS:
        if wanted[name] and not spec["parts"].get(name):
            raise UserError(
                f'"{name}" wants {wanted[name]} rows of a world whose parts are {spec["parts"]}. '
                f"Give {name} a share in parts of the dataset's file, or 0 rows."
            )
    if spec["form"] == "ranked":
        stream = ranked_rows(_numbered(generate.ranked_groups(spec["task"], spec["seed"])), "world", "stop", counts)
    else:
        pairs = generate.preference_pairs(spec["task"], spec["seed"], spec["temperature"])
        stream = preference_rows(_numbered(pairs), "world", "stop", counts)
    parts: Parts = {name: [] for name in PARTS}
    for row in stream:
        part = split_of(row.prompt_id, spec["parts"], SALT)
        if len(parts[part]) < wanted[part]:
            parts[part].append(row)
        elif all(len(parts[name]) >= wanted[name] for name in PARTS):
            break
    documents = generate.documents(spec["task"], spec["seed"])
    return parts, list(itertools.islice(documents, wanted["pretrain"])), counts.manifest()


def _numbered(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    return enumerate(rows, start=1)


def _hh(spec: dict[str, Any]) -> Built:
    """Split by prompt. From local files one stream feeds all parts; from the hub, `test` is eval."""
    counts = Counts()
    common = {"reading": spec["reading"], "on_bad_row": spec["on_bad_row"], "counts": counts}
    parts: Parts = {name: [] for name in PARTS}
    if spec.get("files"):
        for row in hh.load_hh(spec["files"], split="train", **common):
            parts[split_of(row.prompt_id, spec["parts"], SALT)].append(row)
    else:
        for row in hh.load_hh(split="train", revision=spec["revision"], **common):
            parts[split_of(row.prompt_id, spec["parts"], SALT)].append(row)
        parts["eval"] = list(hh.load_hh(split="test", revision=spec["revision"], **common))
    # A base model built here learns the language from the training part alone, chosen and rejected alike.
    documents = [
        {"prompt": row.prompt, "completion": text} for row in parts["train"] for text in (row.chosen, row.rejected)
    ]
    return parts, documents, counts.manifest()


def _line(row: PreferenceRow | RankedRow) -> dict[str, Any]:
    head = {"prompt_id": row.prompt_id, "prompt": row.prompt}
    if isinstance(row, RankedRow):
        return head | {"completions": row.completions, "scores": row.scores}
    return head | {"chosen": row.chosen, "rejected": row.rejected}


def _prompts(rows: list[Any], spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The prompts that every model answers, in the released loader's order, each with the response to be beaten."""
    unique, wanted = list(unique_prompts(rows).values()), spec["n_prompts"]
    batch = min(spec["prompt_batch"], wanted)
    whole = len(unique) // batch * batch
    if whole < wanted:
        raise UserError(
            f"{len(unique)} unique evaluation prompts, but {wanted} are to be sampled ({spec.get('files') or spec}), "
            f"each once and in full batches of {batch}, of which {whole} prompts are a multiple. "
            "Give more data, or lower sampling.n of the scale."
        )
    for index in eval_prompt_order(len(unique), wanted, batch, spec["order_seed"])[:wanted]:
        row = unique[index]
        if isinstance(row, RankedRow):
            baseline = max(zip(row.scores, row.completions, strict=True), key=lambda pair: pair[0])[1]
        else:
            baseline = row.chosen
        yield {"prompt_id": row.prompt_id, "prompt": row.prompt, "baseline": baseline}


def _write(path: Path, lines: list[dict[str, Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
