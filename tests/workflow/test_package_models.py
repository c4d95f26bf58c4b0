"""Models from packages in the plan and through the workflow: which node, what is recorded, what stops it."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from checkout import Checkout, counts
from tiny_gguf import NAME, install, write_gguf
from tiny_world import make_tiny

from prefrepro.files import sha256_file

MODEL: dict[str, Any] = {
    "kind": "package", "package": NAME, "version": "1.2", "file": "tiny/model.gguf", "sha256": "0" * 64,
    "repo": "someone/tiny", "licence": "apache-2.0", "template": "chat",
}  # fmt: skip
SCALE = "config/scales/embedded.yaml"


class WithSite(Checkout):
    """A copy whose commands see one more folder of packages."""

    @property
    def environment(self) -> dict[str, str]:
        more = [str(self.root / "site"), *(os.environ.get("PYTHONPATH", "").split(os.pathsep)[1:])]
        return super().environment | {"PYTHONPATH": os.pathsep.join(more)}


@pytest.fixture
def copy(tmp_path: Path) -> Checkout:
    """The tiny world, with DPO alone on a model from a package."""
    made = WithSite(tmp_path)
    make_tiny(made)
    file = install(tmp_path / "site")
    made.write_yaml("config/models/packaged.yaml", MODEL | {"sha256": sha256_file(file)})
    made.edit_yaml(SCALE, {"models": {"mistral-7b": "packaged"}, "sampling": {"n": 4}})
    return made


def test_the_plan_has_one_node_for_the_package_and_says_so(copy: Checkout) -> None:
    nodes = copy.nodes()
    assert counts(nodes)["package"] == 1 and "base" not in counts(nodes)
    (package,) = [node for node in nodes if node["kind"] == "package"]
    assert package["inputs"] == {} and package["folder"].startswith("package/packaged_")
    (sft,) = [node for node in nodes if node["kind"] == "sft"]
    assert sft["inputs"]["init"] == package["id"] and sft["spec"]["init"] == ""
    (table,) = [node for node in nodes if node["kind"] == "table"]
    note = f"Weights of packaged: model.gguf of the package {NAME} 1.2 (SHA-256 {package['spec']['sha256'][:12]}…), "
    assert note + "dequantised to float32; not the hub's someone/tiny itself." in table["spec"]["notes"]


def test_another_file_or_template_is_another_node_and_a_note_is_not(copy: Checkout) -> None:
    def package() -> str:
        return next(node["id"] for node in copy.nodes() if node["kind"] == "package")

    before = package()
    copy.edit_yaml("config/models/packaged.yaml", {"note": "other words", "licence": "mit"})
    assert package() == before
    copy.edit_yaml("config/models/packaged.yaml", {"template": "role_tags"})
    tagged = package()
    copy.edit_yaml("config/models/packaged.yaml", {"sha256": "1" * 64})
    assert len({before, tagged, package()}) == 3


def test_planning_wants_no_package_and_the_workflow_stops_before_its_first_job(copy: Checkout) -> None:
    copy.edit_yaml("config/models/packaged.yaml", {"package": "not-there"})
    assert copy.prefrepro("plan", "table1").returncode == 0
    assert copy.snakemake("-n", "table1").returncode == 0
    done = copy.snakemake("table1", "--cores", "1")
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    assert (
        said.count("the package not-there 1.2, which carries tiny/model.gguf, is not installed. Next: make setup-r")
        == 1
    )
    assert not list(copy.results.glob("data/*/manifest.json"))


def test_a_table_from_a_package(copy: Checkout) -> None:
    """From the GGUF to a verdict; what was read stands in the run, in its card and beside the table's numbers."""
    write_gguf(copy.root / "site" / "tiny" / "model.gguf")
    copy.edit_yaml("config/models/packaged.yaml", {"sha256": sha256_file(copy.root / "site" / "tiny" / "model.gguf")})
    nodes = copy.nodes()
    (verdict,) = [node for node in nodes if node["kind"] == "verdict" and node["id"].startswith("dpo_")]
    done = copy.snakemake("--cores", "1", f"results/embedded/{verdict['done']}")
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = copy.results.glob("runs/dpo_*")
    origin = json.loads((run / "run.json").read_text(encoding="utf-8"))["origin"]
    assert (origin["package"], origin["version"], origin["tensors"]) == (NAME, "1.2", {"Q4_1": 15, "F32": 5})
    card = (run / "model" / "README.md").read_text(encoding="utf-8")
    assert "base_model: someone/tiny" in card and "license: apache-2.0" in card
    assert f"- Weights of the base model: model.gguf of the package {NAME} 1.2" in card
    with (copy.results / verdict["folder"] / "verdicts.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file))
