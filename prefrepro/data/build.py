"""The data node of the DAG: rows of one dataset, split, counted and hashed, in canonical JSONL files.

pretrain.jsonl {prompt, completion} · train, eval, judge.jsonl {prompt_id, prompt, chosen, rejected} (or, for ranked
data, {prompt_id, prompt, completions, scores}) · prompts.jsonl {prompt_id, prompt, baseline | references, …}: what
every model answers · manifest.json: counts and hashes. A benchmark has prompts alone; the other files are empty.
Knows nothing of models or methods.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefrepro.data.rows import PreferenceRow, RankedRow
from prefrepro.data.sources import read
from prefrepro.data.splits import eval_prompt_order, unique_prompts
from prefrepro.errors import UserError
from prefrepro.files import replacing, sha256_file, write_json


def build(spec: dict[str, Any], inputs: dict[str, Path], out: Path) -> None:
    """Write the dataset of `spec` into `out`. Raises UserError for bad rows and for data too small for its prompts."""
    built = read(spec["source"])
    files = {"pretrain": built.pretrain, **{name: [_line(row) for row in rows] for name, rows in built.parts.items()}}
    prompts = list(_prompts(built.parts["eval"], spec["source"])) if built.prompts is None else built.prompts
    files["prompts"] = prompts
    for name, lines in files.items():
        _write(out / f"{name}.jsonl", lines)
    manifest = {
        "spec": spec,
        "rows": {name: len(lines) for name, lines in files.items()},
        "sha256": {name: sha256_file(out / f"{name}.jsonl") for name in files},
        **built.manifest,
    }
    write_json(out / "manifest.json", manifest)


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
