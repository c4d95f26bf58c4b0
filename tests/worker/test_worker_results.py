"""A training in the worker and one by itself: the same bytes, the same log, the same threads."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import JOB, Checkout
from tiny_world import make_tiny
from worker_helpers import Workflow, add_probe, needs_pidfd, workflow

pytestmark = needs_pidfd
COLD = {"PREFREPRO_WORKER": "off"}
THREADS = """
import hashlib, numpy, scipy.linalg, torch
from threadpoolctl import threadpool_info
pools = {pool["num_threads"] for pool in threadpool_info()}
numbers = numpy.random.default_rng(0).random((700, 700))
tensor = torch.from_numpy(numbers).float()
results = [numbers @ numbers, scipy.linalg.inv(numbers), (tensor @ tensor).numpy(), tensor.sum(0).numpy()]
print(torch.get_num_threads(), pools, [hashlib.sha256(r.tobytes()).hexdigest() for r in results])
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A tiny world with its data set; and the probe."""
    checkout = Checkout(tmp_path_factory.mktemp("tiny"))
    make_tiny(checkout)
    add_probe(checkout)
    return checkout


@pytest.fixture(scope="module")
def warm(tiny: Checkout) -> Iterator[Workflow]:
    with workflow(tiny) as opened:
        yield opened


OF_A_TIME = ("run.json", "metrics.csv", "README.md")


def digests(folder: Path) -> dict[str, str]:
    """Of everything but times."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in OF_A_TIME]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def metrics(folder: Path) -> list[list[str]]:
    """Of every logged step, without tokens_per_second."""
    lines = [line.split(",") for line in (folder / "metrics.csv").read_text(encoding="utf-8").splitlines()]
    return [
        [value for name, value in zip(lines[0], line, strict=True) if name != "tokens_per_second"] for line in lines
    ]


def run_row(folder: Path) -> dict[str, object]:
    row = json.loads((folder / "run.json").read_text(encoding="utf-8"))["row"]
    return {key: value for key, value in row.items() if key not in ("wall_s", "peak_mem_gb")}


def without_numbers(log: str) -> str:
    return re.sub(r"[\d.]+", "#", log)


def test_a_training_has_the_same_bytes_and_log(tiny: Checkout, warm: Workflow) -> None:
    nodes = {node["kind"]: node for node in tiny.nodes()}
    assert tiny.prefrepro("plan", "table1", "--write").returncode == 0
    assert warm.run(*JOB, nodes["data"]["id"])[0] == 0
    command, folder = (*JOB, nodes["base"]["id"]), tiny.results / nodes["base"]["folder"]
    code, log = warm.run(*command)
    assert code == 0, log
    kept = folder.rename(tiny.root / "kept")
    cold_code, cold_log = warm.run(*command, **COLD)
    assert cold_code == 0, cold_log
    assert without_numbers(log) == without_numbers(cold_log)
    assert digests(kept) == digests(folder) != {}
    assert metrics(kept) == metrics(folder)
    assert run_row(kept) == run_row(folder)
    shutil.rmtree(kept)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_libraries_have_the_threads_of_the_job(warm: Workflow, threads: str) -> None:
    told = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    assert warm.probe(THREADS, **told) == warm.probe(THREADS, **told, **COLD)


def test_what_is_not_seeded_differs_between_jobs(warm: Workflow) -> None:
    says = "import numpy, random, torch; print([torch.rand(1).item(), numpy.random.rand(), random.random()])"
    draws = [json.loads(warm.probe(says)[1]) for _ in range(2)]
    assert not set(draws[0]) & set(draws[1])


def test_a_users_mistake_reads_the_same(warm: Workflow) -> None:
    command = ("-m", "prefrepro.jobs.main", "nowhere/plan.json", "no-such-node")
    code, log = warm.run(*command)
    assert code == 2
    assert log.startswith("error: nowhere/plan.json is no plan that this version wrote")
    assert (code, log) == warm.run(*command, **COLD)
    help_text = warm.run("-m", "prefrepro.jobs.main", "--help")
    assert help_text == warm.run("-m", "prefrepro.jobs.main", "--help", **COLD)
    assert help_text[1].startswith("usage: python -m prefrepro.jobs.main ")


def test_the_worker_has_the_libraries_that_jobs_import(warm: Workflow) -> None:
    """Not again in each fork: what a training and a judging load is there, but for our own modules."""
    says = (
        "before = set(sys.modules); import prefrepro.train.run, prefrepro.sample.generate, prefrepro.judge.stage; "
        "import transformers.models.mistral.modeling_mistral, prefrepro.judge.transport, prefrepro.train.shared; "
        "print({name.split('.')[0] for name in set(sys.modules) - before} - {'prefrepro', 'methods'} - "
        "set(sys.stdlib_module_names))"
    )
    assert warm.probe(says) == (0, "set()\n")
