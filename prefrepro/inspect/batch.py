"""The first batch of a training as its trainer reads it, by the trainer's own functions, and what sampling would ask.

Wants the run's data and a tokenizer: that of what it starts from, or, where that is not made yet, of what that starts
from, whose tokenizer is saved along.
"""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prefrepro.data.hub import checkpoint_of
from prefrepro.data.template import adds_bos, render_for
from prefrepro.data.truncate import limits_of
from prefrepro.errors import UserError, nearest
from prefrepro.model.batches import Inputs, Rows, step_rows
from prefrepro.model.decode import stop_ids
from prefrepro.model.examples import RowFile, is_ranked, mismatched
from prefrepro.model.inputs import training_inputs
from prefrepro.model.load import load_tokenizer
from prefrepro.model.packing import pack
from prefrepro.model.rollout import rows_of_rollouts
from prefrepro.model.seeds import seed_for
from prefrepro.model.token_file import Tokens
from prefrepro.model.tokenizer import tokenizer_of
from prefrepro.model.training import needs_in, total_steps, training_of
from prefrepro.plan.kinds import TRAININGS
from prefrepro.plan.nodes import Graph, Node
from prefrepro.sample.answers import Asked
from prefrepro.specs.table import address_of

SIDES = ("chosen", "rejected")
Part = tuple[str, int, Tokens]
"""What a sequence is of its example, the number of its row, and its tokens."""


def training_named(plan: Graph, word: str) -> Node:
    """The training of the plan that `word` names: an id, the beginning of one, or paper/table/row[/column].

    Raises UserError where it names none, or several of different names.
    """
    if "/" in word:
        word = address_of(word)
        found = {
            f"{cell['paper']}/{cell['table']}/{cell['row']}/{cell['column']}": cell["run_ids"]
            for table in plan.of_kind("table")
            for cell in table.spec["cells"]
        }
        runs = [run for address, ids in found.items() if f"{address}/".startswith(f"{word}/") for run in ids]
        if not runs:
            raise UserError(f'"{word}" is no row or cell that a training of this plan feeds.{nearest(word, found)}')
        return plan.nodes[runs[0]]
    named = [node for node in plan.of_kind(*TRAININGS) if node.id.startswith(word)]
    exact = [node for node in named if word in (node.id, node.name)]
    if len(exact or named) != 1:
        known = [node.id for node in exact or named or plan.of_kind(*TRAININGS)]
        shown = ", ".join(known[:8]) + (" …" if len(known) > 8 else "")
        raise UserError(f'"{word}" names {len(named)} trainings of the plan; expected one of {shown}')
    return (exact or named)[0]


def first_batch(plan: Graph, node: Node, n: int) -> dict[str, Any]:
    """`n` examples of a training's first step: texts, token ids, which are predicted, what was cut; and what is asked.

    Raises UserError where data or tokenizer are not made yet, or the rows fill no batch.
    """
    if node.kind == "base":
        raise UserError(f"{node.id} is pre-training on whole texts; expected SFT, a reward model or an alignment run")
    if node.spec.get("pairs") == "unpaired":
        raise UserError(f"{node.id} learns from single completions with a label; show-batch shows pairs and groups")
    spec, data = node.spec, _made(plan, plan.nodes[node.inputs["data"]])
    tokenizer = _tokenizer(plan, node)
    training, method = training_of(spec["training"]), importlib.import_module(f"methods.{spec['method']}")
    needs, is_policys = needs_in(training, method.NEEDS), False
    if training.rollout:
        needs, is_policys = rows_of_rollouts(needs, training.rollout), training.rollout.responses == "policy"
    inputs, _ = training_inputs(spec, {"data": data}, needs, tokenizer)
    steps = total_steps(inputs, needs, training)
    rows = step_rows(inputs.prompt_ids, needs, training.batch_size, seed_for(spec["seed"], "order"))(0)
    examples = list(_examples(rows, inputs, n, is_policys))
    wanted = {inputs.prompt_ids[row] for parts in examples for _, row, _ in parts}
    file = RowFile(data / f"{spec['part']}.jsonl")
    texts = _by_prompt(file, wanted)
    others = _by_prompt(mismatched(file), wanted) if inputs.mismatched is not None else {}
    sample = next((one for one in plan.of_kind("sample") if one.inputs.get("run") == node.id), None)
    sampling = sample.spec["sampling"] if sample else spec["training"]
    saved = plan.results / node.folder / "model"
    asker = load_tokenizer(saved) if (plan.results / node.done).is_file() else tokenizer
    return {
        "run": node.id,
        "method": spec["method"],
        "dataset": spec["dataset"],
        "steps": steps,
        "batch": f"{training.batch_size} {needs.rows}",
        "reads": "the score at each last token" if needs.output == "score" else "log-probs of the predicted tokens",
        "template": "chat template" if tokenizer.chat_template else "role tags",
        "limits": {key: spec["training"][key] for key in ("max_length", "max_prompt_length", "truncation_mode")},
        "bos": _token(tokenizer, tokenizer.bos_token_id),
        "eos": _token(tokenizer, tokenizer.eos_token_id),
        "adds_bos": adds_bos(tokenizer),
        "sample": sample and sample.id,
        "stops": [_token(asker, one) for one in stop_ids(asker, sampling.get("stop_at", "role_tag"))],
        "examples": [
            _example(tokenizer, asker, parts, inputs.prompt_ids, texts, others, sampling, spec["training"])
            for parts in examples
        ],
    }


def _made(plan: Graph, node: Node) -> Path:
    """The folder of a node. Raises UserError where it is not made yet."""
    if not (plan.results / node.done).is_file():
        command = f"snakemake {plan.results / node.done}"
        command += f" --config {shlex.join(plan.arguments)}" if plan.arguments else ""
        raise UserError(
            f"{plan.results / node.done} is missing, and a batch cannot be shown without it. Next: {command}"
        )
    return plan.results / node.folder


def _tokenizer(plan: Graph, node: Node) -> Any:
    """The tokenizer of what a training starts from, or of the nearest that is there behind it."""
    while "init" in node.inputs:
        node = plan.nodes[node.inputs["init"]]
        if (plan.results / node.done).is_file() or not ("init" in node.inputs or node.spec.get("init")):
            return load_tokenizer(_made(plan, node) / "model")
    return tokenizer_of(checkpoint_of({}, "init", node.spec["init"]), node.spec["init"])


def _examples(rows: Rows, inputs: Inputs, n: int, is_policys: bool) -> Iterator[list[Part]]:
    """The sequences of each of the first `n` examples, as model/batches.py, sequences_of, has them."""
    if inputs.groups is not None:
        for row in rows.chosen[:n]:
            both = zip(inputs.groups.scores[row], inputs.groups.responses[row], strict=True)
            yield [(f"response {place}, score {score:g}", row, one) for place, (score, one) in enumerate(both, 1)]
        return
    if rows.responses is not None:
        numbered = [[(number % 2, number // 2)] for number in rows.responses[:n]]
    else:
        sides = [rows.chosen[:n], rows.rejected[:n]]
        numbered = [
            [(side, own[place]) for side, own in enumerate(sides) if place < len(own)] for place in range(len(sides[0]))
        ]
    for example in numbered:
        if is_policys:
            yield [("prompt", row, Tokens(inputs.pairs.chosen[row].prompt_ids, [])) for _, row in example]
            continue
        yield [(SIDES[side], row, getattr(inputs.pairs, SIDES[side])[row]) for side, row in example] + [
            (f"mismatched {SIDES[side]}", row, getattr(inputs.mismatched, SIDES[side])[row])
            for side, row in example
            if inputs.mismatched is not None
        ]


def _by_prompt(rows: Any, wanted: set[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["prompt_id"] in wanted:
            found.setdefault(row["prompt_id"], []).append(row)
    return found


def _example(
    tokenizer: Any, asker: Any, parts: Sequence[Part], prompt_ids: list[str], texts: dict[str, Any],
    others: dict[str, Any], sampling: dict[str, Any], limits: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The sequences of one example, which are packed together, and its first prompt as sampling asks it."""
    packed = pack([tokens for _, _, tokens in parts])
    sequences = []
    for number, (role, row, tokens) in enumerate(parts):
        of_prompt = (others if role.startswith("mismatched") else texts)[prompt_ids[row]]
        n_predicted = int((packed.sequence_ids == number).sum())
        total = len(tokens.prompt_ids) + len(tokens.response_ids)
        cut = _cut(tokenizer, tokens, of_prompt, limits["truncation_mode"])
        sequences.append(
            {
                "role": role, "row": row, "prompt_id": prompt_ids[row], "prompt": _text(tokenizer, tokens.prompt_ids),
                "response": _text(tokenizer, tokens.response_ids), **cut,
                "predicted": list(range(total - n_predicted, total)),
            }
        )  # fmt: skip
    row, trained = texts[prompt_ids[parts[0][1]]][0], parts[0][2].prompt_ids
    asked = Asked(asker, row["prompt"], {"baseline": row["chosen"]} if "chosen" in row else {}, limits_of(sampling)).ids
    place = next((at for at, both in enumerate(zip(asked, trained, strict=False)) if both[0] != both[1]), None)
    differs = place if place is not None else min(len(asked), len(trained)) if len(asked) != len(trained) else None
    return {
        "packed_tokens": packed.input_ids.numel(), "sequences": sequences,
        "asked": _text(asker, asked) | {"differs_at": differs},
    }  # fmt: skip


def _cut(tokenizer: Any, tokens: Tokens, rows: list[dict[str, Any]], mode: str) -> dict[str, Any]:
    """What was cut off prompt and response, as {end, text, ids, …}; None where nothing was."""
    prompt = tokenizer(render_for(tokenizer, rows[0]["prompt"]))["input_ids"]
    candidates = [text for row in rows for text in (row["completions"] if is_ranked(rows) else map(row.get, SIDES))]
    whole, own = tokenizer(candidates, add_special_tokens=False)["input_ids"], tokens.response_ids[:-1]
    response = next((ids for ids in sorted(whole, key=len) if ids[: len(own)] == own), own)
    n_lost = len(prompt) - len(tokens.prompt_ids)
    lost = prompt[:n_lost] if mode == "keep_end" else prompt[len(tokens.prompt_ids) :]
    rest = response[len(own) :] if own else []
    of_prompt = {"end": "start" if mode == "keep_end" else "end", **_text(tokenizer, lost)}
    of_prompt["is_bos_put"] = mode == "keep_end" and prompt[n_lost:] != tokens.prompt_ids
    of_response = {"end": "end", **_text(tokenizer, rest)}
    return {"prompt_cut": of_prompt if lost else None, "response_cut": of_response if rest else None}


def _token(tokenizer: Any, token: int | None) -> dict[str, Any] | None:
    return None if token is None else {"id": token, "text": tokenizer.decode([token])}


def _text(tokenizer: Any, ids: list[int]) -> dict[str, Any]:
    return {"text": tokenizer.decode(ids), "ids": ids, "pieces": [tokenizer.decode([one]) for one in ids]}
