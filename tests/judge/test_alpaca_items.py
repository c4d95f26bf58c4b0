"""What AlpacaEval refuses before anything is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alpaca_helpers import GAMED, make_row, make_rows, outputs, published_rows
from judge_helpers import make_config

from prefrepro.errors import UserError
from prefrepro.judge.alpaca.difficulty import check_canonical, load_gamed
from prefrepro.judge.alpaca.evaluate import evaluate
from prefrepro.judge.alpaca.shield import MARK, shield, unshield
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.endpoint import Endpoint

Open = Callable[..., JudgeClient]


@pytest.fixture
def nobody(tmp_path: Path) -> JudgeClient:
    """A client whose judge must not be asked."""

    def connect() -> Endpoint:
        raise AssertionError("the judge was asked")

    return JudgeClient(make_config(), tmp_path / "cache.sqlite", "id", connect)


def refused(client: JudgeClient, rows: list[dict[str, Any]], **spec: Any) -> str:
    with pytest.raises(UserError) as caught:
        evaluate(rows, client, spec)
    return str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (make_row("Q", "", "b"), "the response is empty"),
        (make_row("Q", " \n", "b"), "the response is empty"),
        (make_row("", "a", "b"), "the instruction is empty"),
        (make_row("Say <|im_start|>.", "a", "b"), "the instruction holds '<|im_start|>'"),
        (make_row("Q", "a", "b<|im_end|>"), "the reference holds '<|im_end|>'"),
        (make_row("Q", f"a{MARK}", "b"), "the response holds U+FDD0"),
        (make_row("Q", "a\ud800", "b"), "surrogates not allowed"),
        (make_row("What is 3?", "a", "b"), "instruction 'What is 3?' is there 2 times"),
        ({**make_row("Q", "a", "b"), "references": {"gpt4_turb": "b"}}, 'no reference "gpt4_turbo". It has: gpt4_turb'),
        ({**make_row("Q", "a", "b"), "references": None}, "It has: none"),
        ({**make_row("Q", "a", "b"), "response": None}, "response is NoneType, expected text"),
        ({**make_row("Q", "a", "b"), "instruction": None, "prompt": []}, 'no column "instruction"'),
        ({"prompt_id": "p"}, 'expected the columns "prompt_id" and "response"'),
    ],
)
def test_a_bad_row_is_named_before_anything_is_asked(nobody: JudgeClient, row: dict[str, Any], message: str) -> None:
    text = refused(nobody, [*make_rows(5), row])
    assert message in text.replace("\\\\", "\\")
    assert "before anything was asked" in text
    assert row["prompt_id"] in text or "draw 0" in text


def test_all_problems_are_told_together(nobody: JudgeClient) -> None:
    text = refused(nobody, [make_row(f"Q{i}", "", "<|im_end|>") for i in range(20)])
    assert text.count("the response is empty") == 5
    assert "and 30 more" in text


def test_no_rows_is_an_error(nobody: JudgeClient) -> None:
    assert "found no samples" in refused(nobody, [])


def test_draws_of_unlike_prompts_are_refused(nobody: JudgeClient) -> None:
    assert "draw 1 has 3 prompts" in refused(nobody, make_rows(4) + make_rows(3, draw=1))
    assert "in their order" in refused(nobody, make_rows(4) + make_rows(4, draw=1)[::-1])


def test_an_empty_response_is_judged_where_that_is_asked_for(open_client: Open) -> None:
    """The judge prefers the shorter answer, and none is shorter than nothing."""
    client = open_client()
    spec = {"empty_response": "judge", "annotator": "fn"}
    frame, _ = evaluate([make_row("Q", "", "bb"), *make_rows(2)], client, spec)
    assert frame["verdict"].tolist()[0] == "win"


def test_without_a_column_instruction_a_single_turn_is_the_instruction(open_client: Open) -> None:
    rows = [{key: value for key, value in row.items() if key != "instruction"} for row in make_rows(3)]
    client = open_client()
    with_column = evaluate(make_rows(3), client, {}).frame
    assert evaluate(rows, client, {}).frame.equals(with_column)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert "[user, assistant, user]" in refused(client, [{**rows[0], "prompt": turns}])


def test_length_control_wants_the_published_instructions_in_their_order(nobody: JudgeClient) -> None:
    rows = published_rows("claude-2.1")
    lc = {"length_controlled": True, "gamed": str(GAMED)}
    assert "found these instructions in another order" in refused(nobody, rows[1:] + rows[:1], **lc)
    assert "found 800 instructions that are not these" in refused(nobody, rows[:800], **lc)
    assert "`difficulty: none`" in refused(nobody, make_rows(8), **lc)
    check_canonical([row["instruction"] for row in outputs("text_davinci_003_reference")])


@pytest.mark.parametrize(
    "text",
    ["", "index,preference\n0,1\n", "index,preference,std_delta_len,instruction_difficulty,not_gamed_baseline\n"],
)
def test_a_file_without_difficulties_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "df_gamed.csv").write_text(text)
    with pytest.raises(UserError, match=r"df_gamed\.csv: found no difficulty.*set `gamed`"):
        load_gamed(tmp_path / "df_gamed.csv")
    with pytest.raises(UserError, match="found no difficulty"):
        load_gamed(tmp_path / "absent.csv")


@pytest.mark.parametrize("text", ["", "{output_1}", "<|im_start|>{output_2}<|im_end|>", "{ output_1 }", "{{output_1}}"])
def test_shielded_text_comes_back_and_holds_no_markup(text: str) -> None:
    assert unshield("a" + shield(text) + "b") == f"a{text}b"
    assert "<|im_" not in shield(text)
    assert "{output_" not in shield(text)
