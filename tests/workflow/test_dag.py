"""The plan as Snakemake sees it: dry-runs in a copy of the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT, Checkout, Done, hh_rows, write_hh

CONFIGS = {path.stem: path for path in sorted((ROOT / "tests/configs").glob("*.yaml"))}
TABLE1 = {"data": 1, "base": 1, "sft": 1, "reference": 1, "embeddings": 1, "align": 5, "sample": 5, "judge": 5}
LAST = {"table": 1, "table1": 1}
JOBS = {
    "default": TABLE1 | LAST,
    "code": TABLE1 | LAST,
    "robust": TABLE1 | LAST,
    "seeds2": TABLE1 | {"sft": 2, "reference": 2, "align": 10, "sample": 10, "judge": 10} | LAST,
    "hh-files": TABLE1 | {"reward_model": 1, "preference": 1} | LAST,
}


def planned(done: Done) -> dict[str, int]:
    """Jobs of each rule, from the table that a dry-run prints; nothing where nothing is to be done."""
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout + done.stderr
    if "Nothing to be done" in text:
        return {}
    lines = text[text.index("Job stats:") :].split("\n\n")[0].splitlines()
    jobs = {name: int(n) for name, n in (line.split() for line in lines if re.fullmatch(r"\w+ +\d+", line))}
    assert jobs.pop("total") == sum(jobs.values())
    return jobs


def pretend_done(checkout: Checkout) -> None:
    """Every planned file, each newer than its inputs; Snakemake has no records of them."""
    age = 10_000
    for node in checkout.nodes():
        if node["kind"] == "table":
            suffixes = ("csv", "md", "tex", "html", "pairs.csv", "cells.csv", "cell_seeds.csv")
            files = [f"tables/rpo_table1.{suffix}" for suffix in suffixes]
        else:
            more = {"run": "metrics.csv", "sft": "metrics.csv", "sample": "samples.jsonl", "verdict": "verdicts.csv"}
            files = [node["done"], f"{node['folder']}/{more.get(node['kind'], 'more')}"]
        age -= 1
        for name in files:
            path = checkout.results / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("made by a test\n", encoding="utf-8")
            made = path.stat().st_mtime - age
            os.utime(path, (made, made))


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_each_config_plans_its_jobs(checkout: Checkout, name: str) -> None:
    write_hh(checkout.root / "hh.jsonl.gz", hh_rows(2))
    done = checkout.snakemake("-n", "table1", "--configfile", str(CONFIGS[name]))
    assert planned(done) == JOBS[name]
    assert not checkout.results.exists()


def test_a_comment_plans_nothing_and_a_formula_its_own_jobs(checkout: Checkout) -> None:
    pretend_done(checkout)
    checkout.edit("methods/dpo.py", "# Eq. 7", "# Equation 7")
    assert planned(checkout.snakemake("-n", "table1")) == {}
    checkout.edit("methods/dpo.py", "-F.logsigmoid(hp.beta", "-F.logsigmoid(2 * hp.beta")
    done = checkout.snakemake("-n", "table1")
    assert planned(done) == {"align": 1, "sample": 1, "judge": 1} | LAST
    assert set(re.findall(r"output: results/embedded/runs/([\w-]+)_mistral", done.stdout + done.stderr)) == {"dpo"}


def test_an_unknown_config_key_is_refused_in_one_message(checkout: Checkout) -> None:
    done = checkout.snakemake("-n", "table1", "--config", "sede=1")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert said.count('--config: "sede" is unknown. Known: scale, reading') == 1
    assert "Did you mean seeds?" in said
    assert "Traceback" not in said


def test_snakemake_lint_is_clean(checkout: Checkout) -> None:
    done = checkout.snakemake("--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_snakefmt_is_clean() -> None:
    snakefmt = Path(sys.executable).with_name("snakefmt")
    done = subprocess.run(
        [snakefmt, "--check", "--compact-diff", "Snakefile", "workflow"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
