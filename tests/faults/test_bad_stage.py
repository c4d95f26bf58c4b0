"""Stages called with ids, inputs or data that cannot be."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from checkout import JOB, Checkout, Done, hh_rows, write_hh

Refused = Callable[..., str]
pytestmark = pytest.mark.usefixtures("earlier")


def node_id(checkout: Checkout, kind: str, **config: object) -> str:
    """The id of the first node of a kind."""
    return next(node["id"] for node in checkout.nodes(**config) if node["kind"] == kind)


def build(checkout: Checkout, files: str) -> Done:
    """Build the data set of local HH files."""
    return checkout.job(node_id(checkout, "data", hh_files=files), f"hh_files={files}")


def test_an_id_that_nobody_planned(checkout: Checkout, refused: Refused) -> None:
    done = checkout.job("dpo_mistral-7b_hh_00000000")
    refused(done, '"dpo_mistral-7b_hh_00000000" is not in the plan', "default config")


def test_a_plan_that_is_not_there(checkout: Checkout, refused: Refused) -> None:
    refused(checkout.python(*JOB, "any"), "results/embedded/plan.json is no plan", "prefrepro plan --write")


def test_a_torn_plan(checkout: Checkout, refused: Refused) -> None:
    assert checkout.prefrepro("plan", "table1", "--write").returncode == 0
    path = checkout.results / "plan.json"
    path.write_bytes(path.read_bytes()[:-2000])
    refused(checkout.python(*JOB, "any"), "results/embedded/plan.json is no plan", "prefrepro plan --write")


def test_an_id_of_yesterday_names_the_one_of_today(checkout: Checkout, refused: Refused) -> None:
    old = node_id(checkout, "run")
    checkout.edit("methods/dpo.py", "-F.logsigmoid(hp.beta", "-F.logsigmoid(2 * hp.beta")
    now = node_id(checkout, "run")
    refused(checkout.job(old), now, "code or config changed since")


def test_code_that_changed_after_it_was_planned(checkout: Checkout, refused: Refused) -> None:
    """A word of a message may change under a running workflow; what moves a number may not."""
    planned = node_id(checkout, "run")
    assert checkout.prefrepro("plan", "table1", "--write").returncode == 0
    checkout.edit("methods/dpo.py", '"""', '"""In other words. ')
    refused(checkout.python(*JOB, planned), "is missing; make it with")
    checkout.edit("methods/dpo.py", "-F.logsigmoid(hp.beta", "-F.logsigmoid(2 * hp.beta")
    refused(checkout.python(*JOB, planned), f"{planned}: code changed since this was planned", "snakemake again")


def test_an_id_of_another_config(checkout: Checkout, refused: Refused) -> None:
    other = node_id(checkout, "verdict", protocol="robust")
    refused(checkout.job(other, "seeds=2"), "is not in the plan (seeds=2)")


@pytest.mark.parametrize("kind", ["run", "sample", "verdict"])
def test_missing_inputs_name_the_command_that_makes_them(checkout: Checkout, refused: Refused, kind: str) -> None:
    nodes = {node["id"]: node for node in checkout.nodes()}
    node = next(node for node in nodes.values() if node["kind"] == kind)
    first = nodes[next(iter(node["inputs"].values()))]
    made = f"results/embedded/{first['done']}"
    refused(checkout.job(node["id"]), f"{made} is missing", f"snakemake {made}")
    assert not (checkout.results / node["folder"]).exists()


def test_a_word_that_is_no_config(checkout: Checkout, refused: Refused) -> None:
    refused(checkout.job(node_id(checkout, "data"), "robust"), '"robust" is no target')


def test_hh_files_that_do_not_exist(checkout: Checkout, refused: Refused) -> None:
    done = checkout.job("hh-files_00000000", "hh_files=gone/hh.jsonl.gz")
    refused(done, "gone/hh.jsonl.gz: no such file", "a relative path starts at the folder of the command")


def test_a_truncated_hh_file(checkout: Checkout, refused: Refused) -> None:
    path = write_hh(checkout.root / "cut.jsonl.gz", hh_rows(500))
    path.write_bytes(path.read_bytes()[:-100])
    done = build(checkout, "cut.jsonl.gz")
    refused(done, "cut.jsonl.gz: the gzip stream breaks off", "fetch it again")
    assert not list(checkout.results.glob("data/*/manifest.json"))


def test_a_row_without_rejected(checkout: Checkout, refused: Refused) -> None:
    rows = hh_rows(40)
    del rows[6]["rejected"]
    write_hh(checkout.root / "lacks.jsonl.gz", rows)
    refused(build(checkout, "lacks.jsonl.gz"), "lacks.jsonl.gz, line 7", '"rejected"')
    assert not list(checkout.results.glob("data/*/manifest.json"))


def test_hh_files_with_too_few_prompts(checkout: Checkout, refused: Refused) -> None:
    write_hh(checkout.root / "few.jsonl.gz", hh_rows(20))
    refused(build(checkout, "few.jsonl.gz"), "unique evaluation prompts", "few.jsonl.gz", "sampling.n")


def test_a_file_that_is_no_gzip_against_its_name(checkout: Checkout, refused: Refused) -> None:
    Path(checkout.root / "plain.jsonl.gz").write_text('{"chosen": ""}\n', encoding="utf-8")
    refused(build(checkout, "plain.jsonl.gz"), "plain.jsonl.gz: not in gzip format")


def test_an_empty_file(checkout: Checkout, refused: Refused) -> None:
    (checkout.root / "empty.jsonl.gz").write_bytes(gzip.compress(b""))
    refused(build(checkout, "empty.jsonl.gz"), "empty.jsonl.gz: line 1 is missing")


def test_local_files_with_odd_names_are_built(checkout: Checkout) -> None:
    """A glob that begins with * and a name that YAML would read as a number reach the stage as they were typed."""
    checkout.edit_yaml("config/scales/embedded.yaml", {"sampling": {"n": 4}})
    for name in ("train.jsonl.gz", "2024"):
        write_hh(checkout.root / name, hh_rows(60))
    for files in ("*.jsonl.gz", "2024"):
        done = build(checkout, files)
        assert done.returncode == 0, done.stderr
    assert len(list(checkout.results.glob("data/hh-files_*/manifest.json"))) == 2


def test_a_folder_that_cannot_be_written(checkout: Checkout, refused: Refused) -> None:
    data = node_id(checkout, "data")
    (checkout.results / "data").write_text("a file where a folder should be\n", encoding="utf-8")
    refused(checkout.job(data), f"{data}: ")
