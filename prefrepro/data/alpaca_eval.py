"""AlpacaEval's instruction set with its reference outputs (tatsu-lab/alpaca_eval, CC BY-NC 4.0).

From local `*_outputs.json` files, as in that repository's results/, or from the hub's JSON files at a pinned commit;
never through `datasets`, whose loading script for this set is no longer supported. The order of the 805 instructions
is part of the benchmark: the length-controlled win rate looks difficulties up by row (JUDGING.md §1.6).

`gpt4_turbo` is the reference of AlpacaEval 2 (gpt4_1106_preview), `davinci003` that of AlpacaEval 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefrepro.data.hub import Resolved, resolve
from prefrepro.data.local import read_records
from prefrepro.data.rows import Counts, Reading
from prefrepro.data.splits import eval_prompt_order
from prefrepro.data.template import prompt_id
from prefrepro.errors import UserError
from prefrepro.files import sha256_file

REFERENCES = ("gpt4_turbo", "davinci003")
HUB_FILES = {"gpt4_turbo": "alpaca_eval_gpt4_baseline.json", "davinci003": "alpaca_eval.json"}
SHA256 = {  # at revision 2edc6fa; from public manifests (JUDGING.md §1.2)
    "alpaca_eval_gpt4_baseline.json": "83db546b872ddebee8965fd05fa48461ee3c32bc695c62fb57f2d214ff741ec4",
    "alpaca_eval.json": "d92b92c51e8f1962a21193abe74e6f727c2bc8286035f4041505ff38a7c3ae51",
}
RELEASED_BATCH = 32


def alpaca_eval_prompts(source: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(rows {prompt_id, prompt, instruction, category, references} in canonical order, what the manifest says).

    `source`: `files` {reference: path} or `repo` and `revision`; `reading`: under `code` only the 800 that the released
    loader serves; `n` instructions are expected. Raises UserError where the references do not answer the same
    instructions in the same order.
    """
    paths, record = _files(source)
    outputs = {name: _outputs(path) for name, path in paths.items()}
    first = next(iter(outputs))
    for name in outputs:
        _same_instructions(paths, outputs, first, name)
    rows = [
        _row(place, {name: entries[place] for name, entries in outputs.items()}) for place in range(len(outputs[first]))
    ]
    expected = source.get("n")
    if expected is not None and len(rows) != expected:
        raise UserError(f"{paths[first]}: {len(rows)} instructions; expected {expected}. Give the whole file.")
    kept = sorted(prompt_order(len(rows), source.get("reading", "paper")))
    return [rows[place] for place in kept], record | {"instructions": len(rows), "left_out": len(rows) - len(kept)}


def prompt_order(n: int, reading: Reading, seed: int = 1) -> list[int]:
    """Places of the instructions in the order in which a run answers them.

    paper: all, in canonical order. code: the released SFTDataLoader's, one epoch in batches of 32 without the last,
    partial one: 800 of 805 (PROTOCOL.md §1.10).
    """
    if reading == "paper":
        return list(range(n))
    return eval_prompt_order(n, None, min(RELEASED_BATCH, n), seed)


def _files(source: Mapping[str, Any]) -> tuple[dict[str, Path], dict[str, Any]]:
    """Where each reference is, and what the manifest says of it."""
    given = source.get("files")
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in REFERENCES]
        if unknown or not given:
            raise UserError(f"files name {unknown or 'no reference'}; expected {' and '.join(REFERENCES)}: path")
        return {name: Path(path) for name, path in given.items()}, {"files": dict(given)}
    found = resolve(source.get("repo"), source.get("revision"), given, patterns=list(HUB_FILES.values()))
    folder = _folder(found)
    paths = {name: folder / file for name, file in HUB_FILES.items()}
    for path in paths.values():
        if not path.is_file():
            names = ", ".join(HUB_FILES.values())
            raise UserError(f"{path} is missing. Expected a folder with {names}, or files: {{gpt4_turbo: PATH}}.")
        if "commit" in found.record and sha256_file(path) != SHA256[path.name]:
            raise UserError(
                f"{path}: sha256 {sha256_file(path)}, expected {SHA256[path.name]} (revision 2edc6fa). The hub's file "
                "has changed, or came damaged: fetch it again, or pin another revision and check what it holds."
            )
    return paths, found.record


def _folder(found: Resolved) -> Path:
    if not isinstance(found.paths, str | Path) or not Path(found.paths).is_dir():
        raise UserError(
            f"{found.paths}: expected a folder with {', '.join(HUB_FILES.values())}, or for single files a mapping, "
            "files: {gpt4_turbo: PATH, davinci003: PATH}."
        )
    return Path(found.paths)


def _outputs(path: Path) -> list[dict[str, Any]]:
    """Entries {instruction, output, dataset}, in the file's order."""
    entries = [entry for _, entry in read_records(path, "stop", Counts())]
    for number, entry in enumerate(entries, start=1):
        for name in ("instruction", "output"):
            if not isinstance(entry.get(name), str):
                raise UserError(
                    f'{path}, entry {number}: "{name}" is missing or no text. Expected alpaca_eval outputs.'
                )
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
