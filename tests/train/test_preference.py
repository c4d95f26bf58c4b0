"""Held-out preferences: margins by all readings, verdicts by one, against a loop over plain transformers."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from train_helpers import make_policy, tokenizer, world_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from prefrepro.csv_schema.schema import read_csv
from prefrepro.data.comparisons import responses_of
from prefrepro.data.template import prompt_id, render_prompt
from prefrepro.data.world import generate
from prefrepro.errors import UserError
from prefrepro.judge import preference
from prefrepro.model.load import load_tokenizer, save_model
from prefrepro.model.reference import reference_logps
from prefrepro.model.tensors import save_tensors
from prefrepro.stats.metrics import VerdictSet, summarise

SPEC: dict[str, Any] = {
    "max_length": 400, "max_prompt_length": 200, "truncation_mode": "keep_end",
    "cut_prompts": "with_response", "micro_batch": 4, "threads": 1, "part": "eval", "by": "reward", "dtype": "float32",
    "output": "logp", "model": "",
}  # fmt: skip
READINGS = ("reward", "logp", "logp_per_token")
Inputs = dict[str, Path]


def checkpoint(folder: Path, output: str = "logp", shift: float = 0.0) -> Path:
    """A run's folder: the same small model, its head or last norm moved by `shift`."""
    policy = make_policy(dtype=torch.float32, output=output)
    with torch.no_grad():
        for number, weight in enumerate(policy.model.parameters()):
            weight += shift * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
    save_model(policy.model, tokenizer(), folder / "model")
    return folder


def ranked_rows(n: int) -> list[dict[str, Any]]:
    groups = itertools.islice(generate.ranked_groups("dialogue", 3), n)
    return [{"prompt_id": prompt_id(one["prompt"]), **one} for one in groups]


def write(folder: Path, rows: list[dict[str, Any]], part: str = "eval") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def reference_of(folder: Path, init: Path, data: Path) -> Path:
    """The folder of the reference node of a model."""
    spec = SPEC | {"parts": ["eval"]}
    tensors, _ = reference_logps(spec, data, init / "model", load_tokenizer(init / "model"))
    save_tensors(tensors, folder / "reference.safetensors")
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """What the policy started from."""
    return checkpoint(tmp_path / "start")


@pytest.fixture
def inputs(tmp_path: Path, start: Path) -> Inputs:
    """A policy that moved a little from what it started from, and 12 held-out pairs, two of one prompt."""
    rows = world_rows(12, seed=9)
    rows[1] |= {"prompt": rows[0]["prompt"], "prompt_id": rows[0]["prompt_id"]}
    data, moved = write(tmp_path / "data", rows), checkpoint(tmp_path / "moved", shift=0.02)
    return {"data": data, "run": moved, "reference": reference_of(tmp_path / "reference", start, data)}


def ranking(out: Path, inputs: Inputs, **changes: Any) -> tuple[list[dict[str, str]], list[dict[str, str]], Any]:
    """Rows of verdicts.csv and margins.csv, and the manifest."""
    preference.run(SPEC | {"kind": "preference"} | changes, inputs, out)
    files = []
    for name in ("verdicts", "margins"):
        read_csv(out / f"{name}.csv", name)  # fits its schema
        with (out / f"{name}.csv").open(encoding="utf-8") as file:
            files.append(list(csv.DictReader(file)))
    return files[0], files[1], json.loads((out / "manifest.json").read_text(encoding="utf-8"))


def accuracy(out: Path, metric: str = "accuracy_pct") -> float | None:
    return summarise(metric, [VerdictSet(read_csv(out / "verdicts.csv", "verdicts"), {})], "paper").value


def by_hand(folder: Path, row: dict[str, Any]) -> list[tuple[float, int]]:
    """Summed log-prob and tokens of each response of a row: one sequence at a time, no padding, no packing."""
    model, words = (
        AutoModelForCausalLM.from_pretrained(folder / "model"),
        AutoTokenizer.from_pretrained(folder / "model"),
    )
    found = []
    for text in responses_of(row):
        prompt = words(render_prompt(row["prompt"]))["input_ids"]
        answer = [*words(text, add_special_tokens=False)["input_ids"], words.eos_token_id]
        ids = torch.tensor([prompt + answer])
        with torch.no_grad():
            logps = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        found.append((float(logps[len(prompt) - 1 :].sum()), len(answer)))
    return found


def test_margins_are_those_of_a_plain_loop(tmp_path: Path, inputs: Inputs, start: Path) -> None:
    rows = [json.loads(line) for line in (inputs["data"] / "eval.jsonl").read_text(encoding="utf-8").splitlines()]
    verdicts, margins, manifest = ranking(tmp_path / "out", inputs)
    found = {(one["prompt_id"], one["draw"]): one for one in margins}
    seen: dict[str, int] = {}
    for row in rows:
        draw = seen[row["prompt_id"]] = seen.get(row["prompt_id"], -1) + 1
        (chosen, n), (rejected, m) = by_hand(inputs["run"], row)
        (ref_chosen, _), (ref_rejected, _) = by_hand(start, row)
        expected = (chosen - rejected - (ref_chosen - ref_rejected), chosen - rejected, chosen / n - rejected / m)
        own = found[row["prompt_id"], str(draw)]
        assert [float(own[name]) for name in READINGS] == pytest.approx(expected, abs=2e-4)
    won = [float(one["reward"]) > 0 for one in margins]
    assert [one["verdict"] == "win" for one in verdicts] == won
    assert 0 < sum(won) < 12
    assert {one["order"] for one in verdicts} == {"pair"}
    assert (manifest["pairs"], manifest["prompts"], manifest["label_ties"]) == (12, 11, 0)
    assert manifest["won_pct"]["reward"]["pair"] == pytest.approx(100 * sum(won) / 12)


def test_a_prompt_counts_once_however_many_pairs_it_has(tmp_path: Path, inputs: Inputs) -> None:
    verdicts, _, _ = ranking(tmp_path / "out", inputs)
    of_prompt: dict[str, list[float]] = {}
    for one in verdicts:
        of_prompt.setdefault(one["prompt_id"], []).append(float(one["score"]))
    means = [sum(scores) / len(scores) for scores in of_prompt.values()]
    assert len(means) == 11
    assert accuracy(tmp_path / "out") == pytest.approx(100 * sum(means) / 11)


@pytest.mark.parametrize("by", READINGS)
def test_swapped_sides_mirror_every_verdict(tmp_path: Path, inputs: Inputs, start: Path, by: str) -> None:
    rows = [json.loads(line) for line in (inputs["data"] / "eval.jsonl").read_text(encoding="utf-8").splitlines()]
    swapped = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    data = write(tmp_path / "swapped", swapped)
    mirrored = inputs | {"data": data, "reference": reference_of(tmp_path / "of_swapped", start, data)}
    ranking(tmp_path / "one", inputs, by=by)
    ranking(tmp_path / "two", mirrored, by=by)
    assert accuracy(tmp_path / "one") == pytest.approx(100 - (accuracy(tmp_path / "two") or 0))


def test_log_probs_of_another_data_set_are_refused(tmp_path: Path, inputs: Inputs) -> None:
    save_tensors({"eval": torch.zeros(3, 2)}, tmp_path / "other" / "reference.safetensors")
    with pytest.raises(UserError, match="eval holds 6 responses; expected 24"):
        ranking(tmp_path / "out", inputs | {"reference": tmp_path / "other"})


def test_a_policy_that_did_not_move_ties_and_half_of_it_is_right(tmp_path: Path, inputs: Inputs, start: Path) -> None:
    verdicts, margins, _ = ranking(tmp_path / "out", inputs | {"run": start})
    assert {one["verdict"] for one in verdicts} == {"tie"}
    assert {float(one["reward"]) for one in margins} == {0.0}
    assert accuracy(tmp_path / "out") == 50


def test_without_a_reference_there_is_no_reward(tmp_path: Path, inputs: Inputs) -> None:
    del inputs["reference"]
    ranking(tmp_path / "out", inputs, by="logp")
    margins = read_csv(tmp_path / "out" / "margins.csv", "margins")
    assert bool(margins["reward"].isna().all())
    assert bool(margins["logp"].notna().all())


def test_groups_are_ranked_pair_by_pair_and_by_their_best(tmp_path: Path, inputs: Inputs) -> None:
    """Each response where its file has it, though it is encoded with the best first; groups of two sizes."""
    rows = ranked_rows(6)
    rows[2] = rows[2] | {"completions": rows[2]["completions"][:3], "scores": rows[2]["scores"][:3]}
    rows[3] |= {"scores": [1, 5, 5, 2], "preferences": [[1, 0], [2, 3]]}
    inputs |= {"data": write(tmp_path / "groups", rows)}
    inputs |= {"reference": reference_of(tmp_path / "of_groups", inputs["run"], inputs["data"])}
    verdicts, margins, manifest = ranking(tmp_path / "out", inputs, by="logp")
    assert {float(one["reward"]) for one in margins} == {0.0}  # it is its own reference, response by response
    place = {one["prompt_id"]: [logp for logp, _ in by_hand(inputs["run"], one)] for one in rows}
    own = {(one["prompt_id"], one["order"], one["draw"]): float(one["logp"]) for one in margins}
    logps = place[rows[3]["prompt_id"]]
    assert own[rows[3]["prompt_id"], "pair", "0"] == pytest.approx(logps[1] - logps[0], abs=2e-4)
    assert own[rows[3]["prompt_id"], "pair", "1"] == pytest.approx(logps[2] - logps[3], abs=2e-4)
    for row in rows:
        logps, best = place[row["prompt_id"]], max(row["scores"])
        top = [logp for logp, score in zip(logps, row["scores"], strict=True) if score == best]
        rest = [logp for logp, score in zip(logps, row["scores"], strict=True) if score < best]
        assert own[row["prompt_id"], "top_1", "0"] == pytest.approx(max(top) - max(rest), abs=2e-4)
    won = sum(one["verdict"] == "win" for one in verdicts if one["order"] == "top_1")
    assert accuracy(tmp_path / "out", "top1_pct") == pytest.approx(100 * won / 6)
    assert manifest["label_ties"] >= 4
    assert manifest["rows"] == 6


def test_top1_of_pairs_is_refused(tmp_path: Path, inputs: Inputs) -> None:
    ranking(tmp_path / "out", inputs)
    with pytest.raises(UserError, match=r"holds no top_1 .* wants groups"):
        accuracy(tmp_path / "out", "top1_pct")


def test_a_reward_model_is_ranked_by_its_score(tmp_path: Path, inputs: Inputs) -> None:
    ranking(tmp_path / "out", inputs | {"run": checkpoint(tmp_path / "rm", "score")}, output="score")
    margins = read_csv(tmp_path / "out" / "margins.csv", "margins")
    assert bool(margins["logp"].isna().all())
    assert (margins["reward"].to_numpy() != 0).all()


@pytest.mark.parametrize(("part", "rows"), [("dev", None), ("eval", [])])
def test_a_part_without_pairs_is_one_message(tmp_path: Path, inputs: Inputs, part: str, rows: Any) -> None:
    if rows is not None:
        write(inputs["data"], rows, part)
    with pytest.raises(UserError, match=rf"{part}.jsonl: found no labelled pair.*`parts`"):
        ranking(tmp_path / "out", inputs, part=part)


def test_a_model_of_no_numbers_is_no_verdict(tmp_path: Path, inputs: Inputs) -> None:
    inputs |= {"run": checkpoint(tmp_path / "nan", shift=float("nan"))}
    with pytest.raises(UserError, match="NaN or infinity for 24 of 24 responses"):
        ranking(tmp_path / "out", inputs)
    assert not (tmp_path / "out" / "manifest.json").exists()
