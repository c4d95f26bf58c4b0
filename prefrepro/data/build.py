"""The data node of the DAG: rows of one dataset, split, counted and hashed, in canonical JSONL files.

pretrain.jsonl {prompt, completion} · train, eval, dev, judge.jsonl {prompt_id, prompt, chosen, rejected} (ranked data:
{prompt_id, prompt, completions, scores}, and preferences where somebody compared them two by two) · prompts.jsonl
{prompt_id, prompt, baseline | references, …}: what every model answers · manifest.json: counts and hashes. A benchmark
has prompts alone; the other files are empty. Prompts are drawn from the whole evaluation part. The other files may hold
fewer rows than their part (`train_rows`, …), evenly spread; the manifest counts the rest as rows_left_out.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefrepro.data.jsonl import Line, Spool, text_of
from prefrepro.data.shown import found
from prefrepro.data.sources import PARTS, Built, read
from prefrepro.data.splits import eval_prompt_order
from prefrepro.errors import UserError
from prefrepro.files import sha256_file, write_json, write_lines
from prefrepro.specs.runtime import DEFAULT, Runtime

FILES = ("pretrain", *PARTS, "prompts")


def build(spec: dict[str, Any], inputs: dict[str, Path], out: Path, _runtime: Runtime = DEFAULT) -> None:
    """Write the dataset of `spec` into `out`. Raises UserError for bad rows and for data too small for its prompts."""
    built = read(spec["source"])
    prompts = built.prompts
    if prompts is None:  # nothing is held out where nobody answers it (prefrepro/plan/parts.py)
        is_held_out = spec["source"]["parts"].get("eval") != 0
        prompts = _prompts(built.parts["eval"], spec["source"]) if is_held_out else []
    texts = {name: _spread(lines, spec["source"].get(f"{name}_rows")) for name, lines in built.parts.items()}
    texts |= {"pretrain": map(text_of, built.pretrain), "prompts": map(text_of, prompts)}
    shown: dict[str, Any] = {key: spec["source"][key] for key in ("labels",) if key in spec["source"]}
    if wanted := spec["source"].get("prompt_sha256"):  # a few prompts, and nothing to train on
        some, shown["shown"] = _shown(built, prompts, wanted)
        texts = {name: map(text_of, some if name == "prompts" else ()) for name in FILES}
    rows = {name: write_lines(out / f"{name}.jsonl", texts[name]) for name in FILES}
    manifest = {
        "spec": spec,
        "rows": rows,
        "rows_left_out": {name: len(lines) - rows[name] for name, lines in built.parts.items()},
        "sha256": {name: sha256_file(out / f"{name}.jsonl") for name in FILES},
        **shown,
        **built.manifest,
    }
    write_json(out / "manifest.json", manifest)


def _spread(lines: Spool, most: int | None) -> Iterable[str]:
    """At most so many lines, evenly from first to last: neighbours are often of one annotator or one source."""
    kept = range(len(lines)) if most is None else {place * len(lines) // most for place in range(most)}
    return (text for place, text in enumerate(lines.texts()) if place in kept)


def _prompts(lines: Spool, spec: dict[str, Any]) -> list[Line]:
    """The prompts that every model answers, in the released loader's order, each with the response to be beaten.

    Two passes: the first finds where each prompt stands first, the second takes the lines that are wanted.
    """
    first: dict[bytes, int] = {}
    good = ""
    for place, line in enumerate(lines):
        if len(line.get("scores", "")) == 1:  # one completion with a label
            good = " with a completion that is labelled good"
            if not line["scores"][0]:
                continue
        first.setdefault(bytes.fromhex(line["prompt_id"]), place)
    unique, wanted = list(first.values()), spec["n_prompts"]
    batch = min(spec["prompt_batch"], wanted)
    whole = len(unique) // batch * batch
    if whole < wanted:
        raise UserError(
            f"{len(unique)} unique evaluation prompts{good}, but {wanted} are to be sampled "
            f"({spec.get('files') or spec}), each once and in full batches of {batch}, of which {whole} prompts are "
            "a multiple. Give more data, or lower sampling.n of the scale."
        )
    order = [unique[index] for index in eval_prompt_order(len(unique), wanted, batch, spec["order_seed"])[:wanted]]
    kept = set(order)
    taken = {place: line for place, line in enumerate(lines) if place in kept}
    return [_prompt(taken[place]) for place in order]


def _shown(built: Built, prompts: list[Line], wanted: list[str]) -> tuple[list[Line], list[bool]]:
    """The prompts of these hashes, and which of them are there; the first of `prompts` stand in for the others."""
    there = found(built.parts["eval"] if built.prompts is None else built.prompts, wanted)
    if built.prompts is None:
        there = {of_line: _prompt(line) for of_line, line in there.items()}
    chosen = [there.get(one, prompts[place]) for place, one in enumerate(wanted)]
    return chosen, [one in there for one in wanted]


def _prompt(line: Line) -> Line:
    if "chosen" in line:
        baseline = line["chosen"]
    else:
        baseline = max(zip(line["scores"], line["completions"], strict=True), key=lambda pair: pair[0])[1]
    return {"prompt_id": line["prompt_id"], "prompt": line["prompt"], "baseline": baseline}
