"""Stages called with ids, inputs or data that cannot be."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from checkout import Checkout, hh_rows, write_hh

Refused = Callable[..., str]
STAGES = ("data", "train", "sample", "judge", "tables")

pytestmark = pytest.mark.usefixtures("earlier")


def node_id(checkout: Checkout, kind: str, **config: object) -> str:
    """The id of the first node of a kind."""
    return next(node["id"] for node in checkout.nodes(**config) if node["kind"] == kind)


def build(checkout: Checkout, files: str) -> tuple[str, ...]:
    """Arguments of Python that build the data set of local HH files."""
    return ("-m", "prefrepro.data", node_id(checkout, "data", hh_files=files), f"hh_files={files}")


@pytest.mark.parametrize("stage", STAGES)
def test_an_id_that_nobody_planned(checkout: Checkout, refused: Refused, stage: str) -> None:
    done = checkout.python("-m", f"prefrepro.{stage}", "dpo_mistral-7b_hh_00000000")
    refused(done, '"dpo_mistral-7b_hh_00000000" is not in the plan', "default config")


def test_an_id_of_yesterday_names_the_one_of_today(checkout: Checkout, refused: Refused) -> None:
    old = node_id(checkout, "run")
    checkout.edit("methods/dpo.py", "-F.logsigmoid(hp.beta", "-F.logsigmoid(2 * hp.beta")
    now = node_id(checkout, "run")
    refused(checkout.python("-m", "prefrepro.train", old), now, "code or config changed since")


def test_an_id_of_another_config(checkout: Checkout, refused: Refused) -> None:
    other = node_id(checkout, "verdict", protocol="robust")
    refused(checkout.python("-m", "prefrepro.judge", other, "seeds=2"), "is not in the plan (seeds=2)")


def test_an_id_of_another_stage(checkout: Checkout, refused: Refused) -> None:
    sample = node_id(checkout, "sample")
    refused(checkout.python("-m", "prefrepro.train", sample), f"{sample} is of kind sample", "sft")


@pytest.mark.parametrize(("kind", "stage"), [("run", "train"), ("sample", "sample"), ("verdict", "judge")])
def test_missing_inputs_name_the_command_that_makes_them(
    checkout: Checkout, refused: Refused, kind: str, stage: str
) -> None:
    nodes = {node["id"]: node for node in checkout.nodes()}
    node = next(node for node in nodes.values() if node["kind"] == kind)
    first = nodes[next(iter(node["inputs"].values()))]
    made = f"results/embedded/{first['done']}"
    refused(checkout.python("-m", f"prefrepro.{stage}", node["id"]), f"{made} is missing", f"snakemake {made}")
    assert not (checkout.results / node["folder"]).exists()


def test_a_word_that_is_no_config(checkout: Checkout, refused: Refused) -> None:
    refused(checkout.python("-m", "prefrepro.data", node_id(checkout, "data"), "robust"), '"robust" is no KEY=VALUE')


def test_hh_files_that_do_not_exist(checkout: Checkout, refused: Refused) -> None:
    done = checkout.python("-m", "prefrepro.data", "hh-files_00000000", "hh_files=gone/hh.jsonl.gz")
    refused(done, "gone/hh.jsonl.gz: no such file", "a relative path starts at the folder of the command")


def test_a_truncated_hh_file(checkout: Checkout, refused: Refused) -> None:
    path = write_hh(checkout.root / "cut.jsonl.gz", hh_rows(500))
    path.write_bytes(path.read_bytes()[:-100])
    done = checkout.python(*build(checkout, "cut.jsonl.gz"))
    refused(done, "cut.jsonl.gz: the gzip stream breaks off", "fetch it again")
    assert not list(checkout.results.glob("data/*/manifest.json"))


def test_a_row_without_rejected(checkout: Checkout, refused: Refused) -> None:
    rows = hh_rows(40)
    del rows[6]["rejected"]
    write_hh(checkout.root / "lacks.jsonl.gz", rows)
    refused(checkout.python(*build(checkout, "lacks.jsonl.gz")), "lacks.jsonl.gz, line 7", '"rejected"')
    assert not list(checkout.results.glob("data/*/manifest.json"))


def test_hh_files_with_too_few_prompts(checkout: Checkout, refused: Refused) -> None:
    write_hh(checkout.root / "few.jsonl.gz", hh_rows(20))
    refused(
        checkout.python(*build(checkout, "few.jsonl.gz")), "unique evaluation prompts", "few.jsonl.gz", "sampling.n"
    )


def test_a_file_that_is_no_gzip_against_its_name(checkout: Checkout, refused: Refused) -> None:
    Path(checkout.root / "plain.jsonl.gz").write_text('{"chosen": ""}\n', encoding="utf-8")
    refused(checkout.python(*build(checkout, "plain.jsonl.gz")), "plain.jsonl.gz: not in gzip format")


def test_an_empty_file(checkout: Checkout, refused: Refused) -> None:
    (checkout.root / "empty.jsonl.gz").write_bytes(gzip.compress(b""))
    refused(checkout.python(*build(checkout, "empty.jsonl.gz")), "empty.jsonl.gz: line 1 is missing")


def test_local_files_with_odd_names_are_built(checkout: Checkout) -> None:
    """A glob that begins with * and a name that YAML would read as a number reach the stage as they were typed."""
    checkout.edit_yaml("config/scales/embedded.yaml", {"sampling": {"n": 4}})
    for name in ("train.jsonl.gz", "2024"):
        write_hh(checkout.root / name, hh_rows(60))
    for files in ("*.jsonl.gz", "2024"):
        done = checkout.python(*build(checkout, files))
        assert done.returncode == 0, done.stderr
    assert len(list(checkout.results.glob("data/hh-files_*/manifest.json"))) == 2


def test_a_folder_that_cannot_be_written(checkout: Checkout, refused: Refused) -> None:
    data = node_id(checkout, "data")
    (checkout.results / "data").write_text("a file where a folder should be\n", encoding="utf-8")
    refused(checkout.python("-m", "prefrepro.data", data), f"{data}: ")
