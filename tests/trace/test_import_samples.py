"""Answers made elsewhere: from a CSV to a judged cell through Snakemake, without training; and what is refused."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT, Checkout
from shared import SHARED

from prefrepro.csv_schema.schema import read_csv
from prefrepro.data.alpaca_eval import alpaca_eval_prompts
from prefrepro.data.benchmarks import arena_hard_prompts, mt_bench_prompts
from prefrepro.data.template import prompt_id
from prefrepro.errors import EXIT_USER_ERROR, UserError
from prefrepro.files import write_json
from prefrepro.inspect.explain import explain
from prefrepro.inspect.results import open_results
from prefrepro.inspect.verify import verify
from prefrepro.sample.outputs import answers_to, imported, read_outputs

ONE = [{"role": "user", "content": "How do I feed a cat?"}]
TWO = [*ONE, {"role": "assistant", "content": "With care."}, {"role": "user", "content": "And a dog?"}]
PROMPTS = [{"prompt_id": prompt_id(one), "prompt": one, "baseline": "No."} for one in (ONE, TWO)]
MAP = {"prompt": "q", "response": "a"}


def write_csv_file(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("q", "a"), *rows])
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def pages_pandas_joins(checkout: Checkout) -> None:
    """The lines that results/README.md and the quick start show, with two seeds and two rows that were imported."""
    for page in ("results/README.md", "docs/quickstart.md"):
        (code,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
        shown = "joined.groupby('row', dropna=False)[['seed', 'hparams']].count().to_dict('list')"
        done = checkout.python("-c", f"{code}\nprint({shown}, len(joined))")
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("{'seed': [2, 0, 2, 0], 'hparams': [2, 0, 2, 0]} 6\n"), (page, done.stdout)


def test_a_row_of_samples_from_elsewhere_end_to_end(world: Checkout, tmp_path: Path) -> None:
    shutil.copytree(world.root, tmp_path / "checkout")
    checkout = Checkout(tmp_path / "checkout", copy=False)
    prompts = rows_of(next(checkout.results.glob("data/*/prompts.jsonl")))
    answers = [
        (row["prompt"][-1]["content"], row["baseline"] if place % 2 else "Ask a friend.")
        for place, row in enumerate(prompts)
    ]
    outputs = write_csv_file(tmp_path / "outputs.csv", answers)
    command = ("import-samples", str(outputs), "--as", "rpo/table1/theirs", "--map", "prompt=q,response=a")

    short = write_csv_file(tmp_path / "short.csv", [*answers[1:], ("Who are you?", "Me.")])
    refused = checkout.prefrepro(command[0], str(short), *command[2:], "--config", "seeds=2")
    assert refused.returncode == 2
    assert "1 of 32 prompts have no answer" in refused.stderr
    assert "1 of 32 answers are to none of the prompts: " in refused.stderr and "Who are you?" in refused.stderr
    assert not (checkout.root / "config/samples").exists()

    done = checkout.prefrepro(*command, "--label", "Their outputs", "--reported", "50", "--config", "seeds=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Next: snakemake table1 --config seeds=2\n")
    few = ("import-samples", str(short), "--as", "rpo/table1/few", *command[4:], "--ignore-missing", "--ignore-extra")
    left_out = checkout.prefrepro(*few, "--config", "seeds=2")
    assert "32 answers, read as answers; they answer 31 prompts of embedded-dialogue_" in left_out.stdout
    assert ", 1 are left out.\n" in left_out.stdout
    made = checkout.snakemake("table1", "--cores", "2", "--config", "seeds=2")
    log = made.stdout + made.stderr
    assert made.returncode == 0, log
    assert [log.count(f"rule {rule}:\n") for rule in ("data", "sft", "align", "sample", "judge")] == [0, 0, 0, 2, 2]

    cells = read_csv(checkout.results / "cells.csv", "cells").set_index("row")
    cell = cells.loc["theirs"]
    assert str(cell["reason"]).endswith("samples imported from outputs.csv")
    assert str(cell["sample_id"]).startswith("imported-theirs_")
    assert cell["run_id"] is None or cell.isna()["run_id"]
    assert (cell["reported"], cell["n"], cell["n_seeds"]) == (50.0, 32, 1)
    sample = checkout.results / "samples" / str(cell["sample_id"])
    assert [row["response"] for row in rows_of(sample / "samples.jsonl")] == [answer for _, answer in answers]
    assert json.loads((sample / "manifest.json").read_text(encoding="utf-8"))["engine"] == "imported"
    table = (checkout.results / "tables/rpo_table1__seeds-2.md").read_text(encoding="utf-8")
    assert "few, Win Rate: 1 of 32 prompts have no answer and are left out." in table
    assert cells.loc["few"]["n"] == 31
    assert "Their outputs: samples imported from outputs.csv; not trained or sampled here." in table
    pages_pandas_joins(checkout)
    told = explain(open_results(checkout.results), "rpo/table1/theirs")
    assert {job["kind"] for job in told["jobs"].values()} == {"verdict", "import", "data"}
    assert verify(open_results(checkout.results)).is_whole
    assert checkout.prefrepro("forecast", "table1", "seeds=2").returncode == 0

    again = checkout.snakemake("-n", "table1", "--config", "seeds=2")
    assert "Nothing to be done" in again.stdout + again.stderr
    write_csv_file(outputs, [(question, "Be kind.") for question, _ in answers])
    edited = checkout.snakemake("-n", "table1", "--config", "seeds=2")
    log = edited.stdout + edited.stderr
    assert [log.count(f"rule {rule}:\n") for rule in ("align", "sample", "judge")] == [0, 1, 1]
    outputs.unlink()
    gone = checkout.prefrepro("plan", "table1")
    assert gone.returncode == 2
    assert "does not exist; expected a file of answers" in gone.stderr


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("rpo/tabel1/theirs", "Did you mean rpo/table1?"),
        ("rpo/table1", "expected paper/table/row or paper/table/row/column"),
        ("rpo/table1/dpo", "has a row dpo of its own"),
        ("rpo/table4/theirs/hh-mistral", "Did you mean hh-mistral-7b?"),
    ],
)
def test_a_place_that_is_none(checkout: Checkout, tmp_path: Path, place: str, said: str) -> None:
    outputs = write_csv_file(tmp_path / "outputs.csv", [("x", "y")])
    done = checkout.prefrepro("import-samples", str(outputs), "--as", place, "--map", "prompt=q,response=a")
    assert done.returncode == 2
    assert said in done.stderr


def test_prompts_are_told_by_text_in_any_form_or_by_id() -> None:
    hh = "\n\nHuman: How do I feed a cat?\n\nAssistant: With care.\n\nHuman: And a dog?\n\nAssistant:"
    tags = "\n<|user|>\nHow do I feed a cat?\n<|assistant|>\nWith care.\n<|user|>\nAnd a dog?"
    for first, second in ((ONE[0]["content"], hh), (" How do I feed a cat?\n", tags), (ONE, TWO)):
        rows = [("2", {"prompt": second, "response": "B"}), ("1", {"prompt": first, "response": "A"})]
        assert answers_to(PROMPTS, rows, Path("f")) == {0: {"response": "A"}, 1: {"response": "B"}}
    rows = [(str(n), {"prompt_id": one["prompt_id"], "response": "C"}) for n, one in enumerate(PROMPTS)]
    assert answers_to(PROMPTS, rows, Path("f")) == {0: {"response": "C"}, 1: {"response": "C"}}


def test_everything_wrong_is_said_at_once() -> None:
    rows: list[Any] = [
        ("line 2", {"prompt": ONE[0]["content"], "response": "A"}),
        ("line 3", {"prompt": ONE[0]["content"], "response": "B"}),
        ("line 4", {"prompt": "Why?", "response": "C"}),
    ]
    with pytest.raises(UserError) as caught:
        answers_to(PROMPTS, rows, Path("f.csv"))
    said = str(caught.value)
    assert "1 of 3 answers answer a prompt that an earlier one answers: line 3, as line 2" in said
    assert "1 of 2 prompts have no answer" in said
    assert "1 of 3 answers are to none of the prompts: line 4: «Why?»; --ignore-extra leaves such out" in said


def test_turns_want_as_many_answers() -> None:
    prompt = PROMPTS[0] | {"turns": ["How do I feed a cat?", "Shorter."]}
    row = {"prompt": ONE[0]["content"], "responses": ["A", "B"]}
    assert answers_to([prompt], [("1", row)], Path("f")) == {0: {"response": "B", "responses": ["A", "B"]}}
    with pytest.raises(UserError, match="hold 1 texts; expected 2, one for each turn"):
        answers_to([prompt], [("1", {"prompt": ONE[0]["content"], "response": "A"})], Path("f"))


def lines_file(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_prompt_without_an_answer_is_left_out_and_counted_by_option(tmp_path: Path) -> None:
    prompts = lines_file(tmp_path / "prompts.jsonl", PROMPTS)
    asked = ONE[0]["content"]
    for rest in ([], [{"instruction": json.dumps(TWO), "output": "x"}][:0], [{"instruction": "Why?", "output": "C"}]):
        rows = [{"instruction": asked, "output": "A"}, *rest]
        file = lines_file(tmp_path / "o.jsonl", rows)
        _, columns, form = read_outputs(file, None)
        assert (columns, form) == ({"prompt": "instruction", "response": "output"}, "AlpacaEval's outputs")
        with pytest.raises(
            UserError, match=r"1 of 2 prompts have no answer: .*; --ignore-missing leaves such prompts out"
        ):
            imported(file, columns, prompts)
        answers, left_out = imported(file, columns, prompts, ignore_extra=bool(rest), ignore_missing=True)
        assert ([one["response"] for one in answers], left_out) == (["A"], 1)
    lost = lines_file(tmp_path / "lost.jsonl", [{"instruction": "Why?", "output": "C"}])
    with pytest.raises(UserError, match="none of 1 answers is to one of the 2 prompts"):
        imported(lost, columns, prompts, ignore_extra=True, ignore_missing=True)


def test_null_is_called_null_and_counts_as_missing(tmp_path: Path) -> None:
    prompts = lines_file(
        tmp_path / "prompts.jsonl", [PROMPTS[0], PROMPTS[1] | {"prompt": [{"role": "user", "content": "Why?"}]}]
    )
    rows = [{"prompt": ONE[0]["content"], "response": None}, {"prompt": "Why?", "response": "So."}]
    file = lines_file(tmp_path / "nulls.jsonl", rows)
    columns = {"prompt": "prompt", "response": "response"}
    with pytest.raises(UserError, match=r"1 of 2 answers are null; expected text \(--ignore-missing .*: line 1"):
        imported(file, columns, prompts)
    answers, left_out = imported(file, columns, prompts, ignore_missing=True)
    assert ([one["response"] for one in answers], left_out) == (["So."], 1)
    nobody = lines_file(tmp_path / "nobody.jsonl", [{"prompt": None, "response": "So."}])
    with pytest.raises(UserError, match="1 of 1 answers hold null in place of the prompt: line 1"):
        imported(nobody, columns, prompts)


@pytest.mark.parametrize("form", ["fastchat", "arena 2024", "arena 2025"])
def test_answer_files_of_benchmarks_are_known(tmp_path: Path, form: str) -> None:
    question = {"question_id": 81, "turns": ["How do I feed a cat?"]}
    source = {
        "set": "mt_bench",
        "files": {"questions": str(tmp_path / "q.jsonl"), "answers": str(tmp_path / "q.jsonl")},
    }
    lines_file(tmp_path / "q.jsonl", [question])
    write_json(tmp_path / "manifest.json", {"spec": {"source": source}})
    is_chat = form == "fastchat"
    prompts = [PROMPTS[0] | ({"turns": ["How do I feed a cat?", "Shorter."]} if is_chat else {})]
    turns: list[Any] = ["A", "B"] if is_chat else [{"content": "B", "token_len": 1}]
    row: dict[str, Any] = {
        "question_id": 81,
        "answer_id": "x",
        "model_id": "m",
        "choices": [{"index": 0, "turns": turns}],
    }
    if form == "arena 2025":
        answer = {"role": "assistant", "content": {"answer": "B"}}
        row = {"uid": "81", "ans_id": "x", "model": "m", "messages": [*ONE, answer], "metadata": {}}
    file = lines_file(tmp_path / "answers.jsonl", [row])
    answers, left_out = imported(file, read_outputs(file, None)[1], lines_file(tmp_path / "prompts.jsonl", prompts))
    assert (answers[0]["response"], left_out) == ("B", 0)
    assert answers[0].get("responses") == (["A", "B"] if is_chat else None)
    if form != "arena 2025":
        row["choices"] *= 2
        with pytest.raises(UserError, match="hold 2 choices; expected one"):
            imported(lines_file(file, [row]), read_outputs(file, None)[1], tmp_path / "prompts.jsonl")


def test_content_that_is_an_object_is_one_message(tmp_path: Path) -> None:
    """Case 60; an object that holds no text is a problem, told once for all rows."""
    prompts = lines_file(tmp_path / "prompts.jsonl", [PROMPTS[0], PROMPTS[0] | {"prompt_id": "b"}])
    case = [{"role": "user", "content": "How do I feed a cat?"}, {"role": "assistant", "content": {"answer": "Hello."}}]
    file = lines_file(tmp_path / "case.jsonl", [{"uid": "u1", "model": "m", "messages": case, "answer": "Hello."}])
    for columns in (read_outputs(file, None)[1], {"prompt": "messages", "response": "answer"}):
        assert imported(file, columns, prompts, ignore_missing=True)[0][0]["response"] == "Hello."
    case[1]["content"] = {"score": 1}  # pyright: ignore[reportArgumentType]
    file = lines_file(tmp_path / "case.jsonl", [{"messages": case}] * 100)
    with pytest.raises(UserError) as caught:
        imported(file, read_outputs(file, None)[1], prompts)
    assert "100 of 100 answers hold an object of score; expected text" in str(caught.value)
    assert "line 1, line 2, line 3, …" in str(caught.value) and len(str(caught.value).splitlines()) <= 3


@pytest.mark.skipif(not (SHARED / "data" / "alpaca_eval").is_dir(), reason="../shared/data is not there")
def test_the_real_files(tmp_path: Path) -> None:
    files = {
        "questions": SHARED / "data" / "arena_hard/question_v0.1.jsonl",
        "answers": SHARED / "data" / "arena_hard/baseline_gpt-4-0314_answers.jsonl",
    }
    prompts = lines_file(tmp_path / "arena.jsonl", arena_hard_prompts(*files.values()))
    file = SHARED / "data" / "arena_hard/gpt-3.5-turbo-0125_answers.jsonl"
    answers, left_out = imported(file, read_outputs(file, None)[1], prompts)
    assert (len(answers), left_out) == (500, 0)
    source = {
        "files": {"gpt4_turbo": str(SHARED / "data" / "alpaca_eval/gpt4_1106_preview_reference_outputs.json")},
        "n": 805,
    }
    prompts = lines_file(tmp_path / "alpaca.jsonl", alpaca_eval_prompts(source)[0])
    file = SHARED / "data" / "alpaca_eval/claude-2.1_model_outputs.json"
    answers, left_out = imported(file, read_outputs(file, None)[1], prompts)
    assert (len(answers), left_out) == (805, 0)
    mt_bench = SHARED / "data" / "mt_bench"
    files = {"questions": str(mt_bench / "question.jsonl"), "answers": str(mt_bench / "reference_answer_gpt-4.jsonl")}
    prompts = lines_file(tmp_path / "prompts.jsonl", mt_bench_prompts(*files.values()))
    write_json(tmp_path / "manifest.json", {"spec": {"source": {"set": "mt_bench", "files": files}}})
    file = mt_bench / "reference_answer_gpt-4.jsonl"
    answers, left_out = imported(file, read_outputs(file, None)[1], prompts, ignore_missing=True)
    assert (len(answers), left_out) == (30, 50)
    assert all(len(one["responses"]) == 2 and "question_id" not in one for one in answers)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl"])
def test_every_form_of_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"outputs.{suffix}"
    rows = [{"q": "one,\ntwo", "a": "ä"}, {"q": "three", "a": ""}]
    if suffix in ("csv", "tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["q", "a"], delimiter="\t" if suffix == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == "json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        lines_file(path, rows)
    found = [row for _, row in read_outputs(path, MAP)[0]]
    assert found == [{"prompt": row["q"], "response": row["a"]} for row in rows]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("o.csv", "question,answer\nx,y\n", 'o.csv, line 2: no column "q"; it has question, answer'),
        ("o.json", '{"q": 1}', "expected a list of objects"),
        ("o.json", "[", "is no readable JSON"),
        ("o.jsonl", '{"q": "x"}\n', 'no column "a"'),
        ("o.csv", "q,a\n", "holds no answer"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_outputs(path, MAP)
    assert said in str(caught.value)


def test_columns_that_nobody_named_are_told_with_the_known_forms(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r'no column "prompt"; it has q, a\..* --map.* AlpacaEval.s outputs: instruction'
    ):
        read_outputs(lines_file(tmp_path / "o.jsonl", [{"q": "x", "a": "y"}]), None)


def test_prompts_are_written_to_be_answered_and_taken_back(world: Checkout, tmp_path: Path) -> None:
    checkout = Checkout(Path(shutil.copytree(world.root, tmp_path / "checkout")), copy=False)
    done = checkout.prefrepro("import-samples", "asked.jsonl", "--prompts", "table1")
    assert done.returncode == 0, done.stderr
    assert "prefrepro import-samples asked.jsonl --as rpo/table1/NEW-ROW/win-rate" in done.stdout
    rows = rows_of(checkout.root / "asked.jsonl")
    assert {tuple(row) for row in rows} == {("prompt_id", "prompt", "response")}, "no answer of others"
    assert {row["response"] for row in rows} == {None}
    again = checkout.prefrepro("import-samples", "asked.jsonl", "--prompts", "table1")
    assert again.returncode == EXIT_USER_ERROR and "asked.jsonl exists" in again.stderr
    unanswered = checkout.prefrepro("import-samples", "asked.jsonl", "--as", "table1/theirs")
    assert unanswered.returncode == EXIT_USER_ERROR and "answers are null" in unanswered.stderr
    lines = "".join(json.dumps(row | {"response": "Ask a friend."}) + "\n" for row in rows)
    (checkout.root / "asked.jsonl").write_text(lines, encoding="utf-8")
    taken = checkout.prefrepro("import-samples", "asked.jsonl", "--as", "table1/theirs")
    assert taken.returncode == 0 and f"{len(rows)} answers" in taken.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "expected one of --as CELL"),
        (("--prompts", "table1", "--as", "rpo/table1/x"), "expected one of --as CELL"),
        (("--prompts", "rpo/table4"), "expected one of the columns of rpo/table4: hh-llama2-7b"),
        (("--prompts", "rpo/table44"), "Did you mean rpo/table4?"),
        (("--prompts", "table1"), "Next: snakemake results/embedded/data/"),
    ],
)
def test_prompts_that_cannot_be_written(checkout: Checkout, words: tuple[str, ...], said: str) -> None:
    done = checkout.prefrepro("import-samples", "asked.jsonl", *words)
    assert done.returncode == EXIT_USER_ERROR and said in done.stderr, done.stderr
    assert not (checkout.root / "asked.jsonl").exists()
