"""AlpacaEval's instructions: references that belong together, canonical order, the 800 of the released code."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from shared import SHARED

from prefrepro.data import alpaca_eval, hub
from prefrepro.data.alpaca_eval import alpaca_eval_prompts, prompt_order
from prefrepro.data.hub import Resolved
from prefrepro.errors import UserError
from prefrepro.files import sha256_file

FOLDER = SHARED / "data/alpaca_eval"
FILES = {
    "gpt4_turbo": FOLDER / "gpt4_1106_preview_reference_outputs.json",
    "davinci003": FOLDER / "text_davinci_003_reference_outputs.json",
}


def outputs(path: Path, n: int, model: str) -> Path:
    rows = [
        {"dataset": "koala", "instruction": f"Do {i}", "output": f"{model} {i}", "generator": model} for i in range(n)
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return {
        "gpt4_turbo": str(outputs(tmp_path / "gpt4.json", 70, "g")),
        "davinci003": str(outputs(tmp_path / "d.json", 70, "d")),
    }


def test_rows_are_prompts_with_both_references_in_canonical_order(files: dict[str, str]) -> None:
    rows, manifest = alpaca_eval_prompts({"files": files, "n_prompts": 70, "n": 70})
    assert [row["instruction"] for row in rows] == [f"Do {i}" for i in range(70)]
    assert rows[3] | {"prompt_id": ""} == {
        "prompt_id": "",
        "prompt": [{"role": "user", "content": "Do 3"}],
        "instruction": "Do 3",
        "category": "koala",
        "index": 3,
        "references": {"gpt4_turbo": "g 3", "davinci003": "d 3"},
    }
    assert (manifest["instructions"], manifest["left_out"]) == (70, 0)


def test_fewer_prompts_are_the_released_loaders_first_ones(files: dict[str, str]) -> None:
    rows, manifest = alpaca_eval_prompts({"files": files, "n_prompts": 64})
    assert (len(rows), manifest["left_out"]) == (64, 6)
    assert [row["index"] for row in rows] == sorted(prompt_order(70, 64))
    assert len(alpaca_eval_prompts({"files": files, "n_prompts": 10})[0]) == 10


def test_the_order_of_both_readings() -> None:
    assert prompt_order(805, 805) == list(range(805))
    order = prompt_order(805, 800)
    assert (len(order), len(set(order))) == (800, 800)
    # What SFTDataLoader does: one stream seeded with 1 shuffles the prompts, then the epoch's list.
    rng, expected = random.Random(1), list(range(805))
    rng.shuffle(expected)
    rng.shuffle(expected)
    assert order == expected[:800]


def edit(path: str, change: Any) -> None:
    rows = json.loads(Path(path).read_text(encoding="utf-8"))
    Path(path).write_text(json.dumps(change(rows)), encoding="utf-8")


def swapped(rows: list[Any]) -> list[Any]:
    rows[4], rows[9] = rows[9], rows[4]
    return rows


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (swapped, r"d\.json, entry 5 answers 'Do 9', but in .*gpt4\.json entry 5 is 'Do 4'.*canonical order"),
        (lambda rows: rows[:-1], r"d\.json: 69 entries, but .*gpt4\.json has 70"),
        (lambda rows: [{"instruction": "Do 0"}, *rows[1:]], r'd\.json, entry 1: column "output" is missing'),
        (lambda rows: [], r"d\.json: the list is empty"),
        (lambda rows: [3, *rows], r"d\.json, line 1: JSON of type int"),
    ],
)
def test_references_that_do_not_belong_together(files: dict[str, str], change: Any, expected: str) -> None:
    edit(files["davinci003"], change)
    with pytest.raises(UserError, match=expected):
        alpaca_eval_prompts({"files": files})


def test_too_few_instructions_and_unknown_references(files: dict[str, str]) -> None:
    with pytest.raises(UserError, match="70 instructions; expected 805"):
        alpaca_eval_prompts({"files": files, "n": 805})
    with pytest.raises(UserError, match=r"files name gpt5; expected .* of gpt4_turbo, davinci003"):
        alpaca_eval_prompts({"files": {"gpt5": "x"}})
    with pytest.raises(UserError, match=r"expected a folder with alpaca_eval_gpt4_baseline\.json.*gpt4_turbo: PATH"):
        alpaca_eval_prompts({"files": files["davinci003"]})


def test_the_hubs_files_are_checked_against_their_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of the hub's names stands in freely; at the pinned commit the content must be the known one."""
    for name in alpaca_eval.HUB_FILES.values():
        outputs(tmp_path / name, 40, name)
    rows, _ = alpaca_eval_prompts({"files": str(tmp_path)})
    assert rows[0]["references"]["gpt4_turbo"] == "alpaca_eval_gpt4_baseline.json 0"

    served = Resolved(tmp_path, {"repo": "tatsu-lab/alpaca_eval", "commit": "2edc6fa"})
    monkeypatch.setattr(hub, "resolve", lambda *_, **__: served)
    with pytest.raises(UserError, match=r"alpaca_eval_gpt4_baseline\.json: sha256 .*expected 83db546b"):
        alpaca_eval_prompts({"repo": "tatsu-lab/alpaca_eval"})
    known = {name: sha256_file(tmp_path / name) for name in alpaca_eval.HUB_FILES.values()}
    monkeypatch.setattr(alpaca_eval, "SHA256", known)
    assert len(alpaca_eval_prompts({"repo": "tatsu-lab/alpaca_eval"})[0]) == 40


def test_the_released_references() -> None:
    if not FOLDER.is_dir():
        pytest.skip(f"{FOLDER} is absent: AlpacaEval's outputs are not shipped with the code")
    source = {"files": {name: str(path) for name, path in FILES.items()}, "n": 805}
    rows, _ = alpaca_eval_prompts(source)
    assert len({row["prompt_id"] for row in rows}) == 805
    assert rows[0]["instruction"].startswith("What are the names of some famous actors")
    assert {row["category"] for row in rows} == {"helpful_base", "koala", "oasst", "selfinstruct", "vicuna"}
    some, manifest = alpaca_eval_prompts(source | {"n_prompts": 800})
    assert (len(some), manifest["left_out"]) == (800, 5)
