"""AlpacaEval's instruction set with its reference outputs (tatsu-lab/alpaca_eval, CC BY-NC 4.0).

From local `*_outputs.json` files, as in that repository's results/, or from the hub's JSON files at a pinned commit;
never through `datasets`, whose loading script for this set is no longer supported. The order of the 805 instructions
is part of the benchmark: the length-controlled win rate looks difficulties up by row (docs/judging.md#length-control).

`gpt4_turbo` is the reference of AlpacaEval 2 (gpt4_1106_preview), `davinci003` that of AlpacaEval 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefrepro.data.hub import named_files
from prefrepro.data.local import read_records
from prefrepro.data.rows import BadRow, Counts, column, text
from prefrepro.data.splits import eval_prompt_order
from prefrepro.data.template import prompt_id
from prefrepro.errors import UserError
from prefrepro.files import sha256_file

HUB_FILES = {"gpt4_turbo": "alpaca_eval_gpt4_baseline.json", "davinci003": "alpaca_eval.json"}
SHA256 = {  # at revision 2edc6fa; from public manifests (docs/judging.md#files)
    "alpaca_eval_gpt4_baseline.json": "83db546b872ddebee8965fd05fa48461ee3c32bc695c62fb57f2d214ff741ec4",
    "alpaca_eval.json": "d92b92c51e8f1962a21193abe74e6f727c2bc8286035f4041505ff38a7c3ae51",
}
RELEASED_BATCH = 32


def alpaca_eval_prompts(source: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(rows {prompt_id, prompt, instruction, category, index, references} in canonical order, what the manifest says).

    `source`: `files` {reference: path} or `repo` and `revision`; `n` instructions are expected, `n_prompts` of them are
    asked. Raises UserError where the references do not answer the same instructions in the same order.
    """
    paths, record = named_files(source, HUB_FILES)
    for path in paths.values() if "commit" in record else ():
        if (found := sha256_file(path)) != SHA256[path.name]:
            raise UserError(
                f"{path}: sha256 {found}, expected {SHA256[path.name]} (revision 2edc6fa). The hub's file has changed, "
                "or came damaged: fetch it again, or pin another revision and check what it holds."
            )
    outputs = {name: _outputs(path) for name, path in paths.items()}
    first = next(iter(outputs))
    for name in outputs:
        _same_instructions(paths, outputs, first, name)
    n, expected = len(outputs[first]), source.get("n")
    if expected is not None and n != expected:
        raise UserError(f"{paths[first]}: {n} instructions; expected {expected}. Give the whole file.")
    kept = sorted(prompt_order(n, source.get("n_prompts", n)))
    rows = [_row(place, {name: entries[place] for name, entries in outputs.items()}) for place in kept]
    return rows, record | {"instructions": n, "left_out": n - len(rows)}


def prompt_order(n: int, wanted: int, seed: int = 1) -> list[int]:
    """Places of the instructions in the order in which a run answers them; `wanted` of n.

    All: the canonical order. Fewer: the first ones of the released SFTDataLoader, batches of 32. Its one epoch leaves
    out the last, partial batch, so that `wanted` = 800 of 805 are those of reading=code (docs/protocol.md#d12).
    """
    if wanted >= n:
        return list(range(n))
    return eval_prompt_order(n, wanted, min(RELEASED_BATCH, wanted), seed)[:wanted]


def _outputs(path: Path) -> list[dict[str, Any]]:
    """Entries {instruction, output, dataset}, in the file's order."""
    entries = [entry for _, entry in read_records(path, "stop", Counts())]
    seen: dict[str, int] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            for name in ("instruction", "output", *(["dataset"] if entry.get("dataset") is not None else [])):
                text(column(entry, name), name)
            if (first := seen.setdefault(entry["instruction"], number)) != number:
                raise BadRow(f"the instruction is that of entry {first}; expected each once")
        except BadRow as bad:
            raise UserError(f"{path}, entry {number}: {bad}. Expected alpaca_eval outputs.") from None
    return entries


def _same_instructions(paths: dict[str, Path], outputs: dict[str, list[dict[str, Any]]], one: str, other: str) -> None:
    for number, (a, b) in enumerate(zip(outputs[one], outputs[other], strict=False), start=1):
        if a["instruction"] != b["instruction"]:
            raise UserError(
                f"{paths[other]}, entry {number} answers {b['instruction'][:60]!r}, but in {paths[one]} entry {number} "
                f"is {a['instruction'][:60]!r}. Expected the same instructions in the same, canonical order."
            )
    if len(outputs[one]) != len(outputs[other]):
        raise UserError(
            f"{paths[other]}: {len(outputs[other])} entries, but {paths[one]} has {len(outputs[one])}. "
            "Expected the same instructions in both."
        )


def _row(place: int, entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    entry = next(iter(entries.values()))
    prompt = [{"role": "user", "content": entry["instruction"]}]
    return {
        "prompt_id": prompt_id(prompt),
        "prompt": prompt,
        "instruction": entry["instruction"],
        "category": entry.get("dataset"),
        "index": place,
        "references": {name: given["output"] for name, given in entries.items()},
    }
