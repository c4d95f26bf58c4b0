"""Table specs, papers, scales, other config files and --config with one thing wrong: one message, or a plan."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from mutations import FEW, HOSTILE, Case, cases, refusal, spoiled_bytes
from shared import read_scale

from prefrepro.files import ROOT
from prefrepro.plan.build import add_table, empty_plan, make_plan
from prefrepro.plan.frontier import add_distances
from prefrepro.specs.config import make_config
from prefrepro.specs.files import read_yaml
from prefrepro.specs.judge import judge_config, load_judge
from prefrepro.specs.paper import check_paper, read_paper
from prefrepro.specs.scale import check_scale
from prefrepro.specs.sources import SHAPES, check_named, read_named
from prefrepro.specs.table import table_files
from prefrepro.specs.yaml_loader import load_yaml

pytestmark = pytest.mark.fuzz

TABLES = table_files()
RPO = ROOT / "paper_tables" / "rpo"
PAPERS = sorted((ROOT / "paper_tables").glob("*/paper.yaml"))
SCALES = sorted((ROOT / "config" / "scales").glob("*.yaml"))
JUDGES = sorted((ROOT / "config" / "judges").glob("*.yaml"))
NAMED = [path for folder in SHAPES for path in sorted((ROOT / "config" / folder).glob("*.yaml"))]


def content(path: Path) -> Any:
    return load_yaml(path.read_text(encoding="utf-8"))


def with_key(path: Path, at: tuple[str, ...], to: Any) -> tuple[Path, Case]:
    """A shipped file with one value put into it, which is wrong."""
    value = content(path)
    inner = value
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = to
    return path, Case(value, at, "example", True)


def of_any(paths: list[Path], is_free: Callable[..., bool] = lambda _: False) -> st.SearchStrategy[tuple[Path, Case]]:
    return st.sampled_from(paths).flatmap(lambda path: st.tuples(st.just(path), cases(content(path), is_free=is_free)))


def bytes_of_any(paths: list[Path]) -> st.SearchStrategy[tuple[Path, bytes]]:
    return st.sampled_from(paths).flatmap(lambda path: st.tuples(st.just(path), spoiled_bytes(path.read_bytes())))


def dumped(value: Any) -> bytes:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("specs")


def plan_table(folder: Path, like: Path, spec: bytes) -> Callable[[], None]:
    """Plan a table whose file holds `spec`, beside the paper of `like`, at embedded scale."""
    file = folder / like.parent.name / like.name
    file.parent.mkdir(exist_ok=True)
    (file.parent / "paper.yaml").write_bytes((like.parent / "paper.yaml").read_bytes())
    file.write_bytes(spec)
    config = make_config({})
    scale = read_scale("embedded")
    read_yaml.cache_clear()
    read_paper.cache_clear()
    return lambda: add_table(empty_plan(config, scale), file)


def is_free_in_a_table(path: tuple[str | int, ...]) -> bool:
    """What is printed of a setting is a number or a word."""
    return path[-1:] == ("printed",) and path[0] == "settings"


@FEW
@example(with_key(RPO / "table7.yaml", ("columns", "beta-0.1", "hparams"), True))
@given(of_any(TABLES, is_free_in_a_table))
def test_table_specs(folder: Path, drawn: tuple[Path, Case]) -> None:
    path, case = drawn
    refusal(plan_table(folder, path, dumped(case.value)), is_wrong=case.is_wrong, names=(path.name, "config/"))


@example((TABLES[0], b"[" * 200_000))
@example((TABLES[0], b"a: &a [*a, *a]\n"))
@example((TABLES[0], b"title: \xff\n"))
@example((TABLES[0], b"title: a\ntitle: b\n"))
@example((TABLES[0], b"2: a\n"))
@example((TABLES[0], b"where: 2026-11-21\ntitle: !!binary aGk=\n"))
@FEW
@given(bytes_of_any(TABLES))
def test_bytes_of_table_specs(folder: Path, drawn: tuple[Path, bytes]) -> None:
    path, spec = drawn
    refusal(plan_table(folder, path, spec), names=(path.name, "config/"))


@FEW
@example(with_key(RPO / "paper.yaml", ("sampling", "unknown"), 3))
@example(with_key(RPO / "paper.yaml", ("training", "unknown"), 3))
@given(of_any(PAPERS))
def test_papers(drawn: tuple[Path, Case]) -> None:
    path, case = drawn
    if isinstance(case.value, dict):
        refusal(lambda: check_paper(case.value, path.name), is_wrong=case.is_wrong, names=(path.name,))


@FEW
@example(with_key(SCALES[0], ("forecast", "tokens_per_s", "scoring", "unknown"), 3))
@given(of_any(SCALES))
def test_scales(drawn: tuple[Path, Case]) -> None:
    path, case = drawn
    if isinstance(case.value, dict):
        refusal(lambda: check_scale(case.value, path.name), is_wrong=case.is_wrong, names=(path.name,))


@FEW
@given(of_any([path for path in SCALES if path.stem == "embedded"]), st.sampled_from(TABLES))
def test_a_scale_that_was_taken_makes_a_plan(drawn: tuple[Path, Case], table: Path) -> None:
    path, case = drawn

    def call() -> None:
        add_table(empty_plan(make_config({}), check_scale(case.value, path.name)), table)

    if isinstance(case.value, dict):
        refusal(call, names=(path.name, table.name, "config/"))


def is_free_in_a_named_file(path: tuple[str | int, ...]) -> bool:
    """A model's own config is transformers'; local files are named in several ways."""
    return path[:1] in (("config",), ("files",), ("patterns",))


@FEW
@given(of_any(NAMED, is_free_in_a_named_file))
def test_datasets_models_and_embedders(drawn: tuple[Path, Case]) -> None:
    path, case = drawn
    if isinstance(case.value, dict):
        where = f"config/{path.parent.name}/{path.name}"
        refusal(lambda: check_named(path.parent.name, path.stem, case.value), is_wrong=case.is_wrong, names=(where,))


@FEW
@given(of_any(JUDGES))
def test_judges(drawn: tuple[Path, Case]) -> None:
    path, case = drawn
    refusal(lambda: judge_config(case.value, path.name), is_wrong=case.is_wrong, names=(path.name,))


@FEW
@given(bytes_of_any(JUDGES))
def test_bytes_of_judges(folder: Path, drawn: tuple[Path, bytes]) -> None:
    file = folder / drawn[0].name
    file.write_bytes(drawn[1])
    read_yaml.cache_clear()
    refusal(lambda: load_judge(file), names=(file.name,))


CONFIG = {"scale": "embedded", "reading": "paper", "protocol": "paper", "seeds": 1, "judge": "openai",
          "budget_usd": 2.5, "external": "cite", "decoding": "code"}  # fmt: skip


@FEW
@given(st.sampled_from(list(CONFIG)), st.sampled_from([*HOSTILE, "[", "{a: 1}", "&a [*a]", "[" * 3000, "1e999"]))
def test_config(key: str, value: Any) -> None:
    """What --config may be given: words of a command line, or values of a config file."""
    refusal(lambda: make_config(CONFIG | {key: value}), names=(key,))


def test_a_name_of_any_length_is_told_in_few_words() -> None:
    message = refusal(lambda: read_named("judges", "x" * 10_000, "a.yaml"), is_wrong=True, names=("a.yaml",))
    assert message is not None and len(message) < 1000


def test_the_order_of_keys_is_of_no_account() -> None:
    """What is taken is used: the shipped specs, each key in another order, give the same plan."""
    nodes = set(make_plan({}).nodes)
    scale = content(ROOT / "config" / "scales" / "embedded.yaml")
    keys = list(scale)
    random.Random(0).shuffle(keys)
    plan = empty_plan(make_config({}), check_scale({key: scale[key] for key in keys}, "embedded"))
    for table in TABLES:
        add_table(plan, table)
    add_distances(plan)
    assert set(plan.nodes) == nodes
