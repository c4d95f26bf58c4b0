"""The how-to pages do what they say: their files are written and their commands run, in a copy of this checkout.

A block with title="PATH" is written there. A bash block runs. A text block stands in what the block before it printed.
A comment in the line before says more: append (at the file's end), after="LINE" (below that line), rows=N (N times, {n}
the number), fails (the commands do).
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from checkout import ROOT, Checkout
from train_helpers import model_config

from prefrepro.csv_schema.schema import read_csv
from prefrepro.data.template import render_prompt
from prefrepro.judge.connect import local_judge
from prefrepro.model.pretrain import build_model, build_tokenizer

ADD = sorted(path.name for path in (ROOT / "docs").glob("add-*.md"))
FOLLOWED = [*ADD, "your-own.md"]
BLOCK = re.compile(
    r"(?:^<!-- (?P<more>[^\n]*) -->\n)?^```(?P<language>\w+)(?P<options>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
ADDRESS = "http://127.0.0.1:8000/v1"


class Block(NamedTuple):
    """One fenced block of a page."""

    language: str
    options: dict[str, str]
    text: str


def blocks(page: str) -> list[Block]:
    found = []
    for match in BLOCK.finditer((ROOT / "docs" / page).read_text(encoding="utf-8")):
        options = (word.partition("=") for word in shlex.split(f"{match['options']} {match['more'] or ''}"))
        found.append(Block(match["language"], {key: value for key, _, value in options}, match["text"]))
    return found


def write(root: Path, block: Block) -> None:
    """Do what the title of a block says."""
    path, text = root / block.options["title"], block.text
    path.parent.mkdir(parents=True, exist_ok=True)
    if "rows" in block.options:
        text = "".join(text.replace("{n}", str(n)) for n in range(int(block.options["rows"])))
    if "append" in block.options:
        text = path.read_text(encoding="utf-8") + text
    if "after" in block.options:
        before, line, rest = path.read_text(encoding="utf-8").partition(block.options["after"] + "\n")
        assert line, f"{path} has no line {block.options['after']}"
        text = before + line + text + rest
    path.write_text(text, encoding="utf-8")


def commands(folder: Path) -> Path:
    """A folder whose prefrepro, snakemake and python are this environment's, with the code of where they are called."""
    folder.mkdir()
    for name, module in (("prefrepro", "-m prefrepro"), ("snakemake", "-m snakemake"), ("python", "")):
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n', encoding="utf-8")
        command.chmod(0o755)
    return folder


def follow(page: str, checkout: Checkout, address: str = ADDRESS, **environment: str) -> None:
    """Do everything that a page says, in its order; `address` takes the place of the endpoint that it names."""
    path = f"{commands(checkout.root / 'bin')}:{os.environ['PATH']}"
    said = ""
    for block in blocks(page):
        block = block._replace(text=block.text.replace(ADDRESS, address))
        if block.language == "bash":
            done = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", block.text],
                cwd=checkout.root,
                env={**checkout.environment, "PATH": path, **environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            said = done.stdout + done.stderr
            assert (done.returncode != 0) == ("fails" in block.options), said
            assert "Traceback" not in said, said
        elif block.language == "text":
            for line in block.text.splitlines():
                assert line in said, f"{page} says {line!r}; printed: {said}"
        elif "title" in block.options:
            write(checkout.root, block)


@pytest.mark.parametrize("page", [page for page in ADD if page != "add-judge.md"])
def test_a_page_does_what_it_says(page: str, checkout: Checkout) -> None:
    follow(page, checkout)


def test_the_judge_of_its_page_is_probed_and_planned(checkout: Checkout) -> None:
    """The local judge plays the endpoint: it speaks what the page says that an endpoint must."""
    with local_judge("world") as endpoint:
        follow("add-judge.md", checkout, endpoint.base_url, MY_KEY=endpoint.api_key)


def test_your_own_loss_data_and_model_become_a_table(checkout: Checkout) -> None:
    """A model of a few thousand weights plays the reader's. A loss that is DPO's gives DPO's number."""
    texts = [f"How do I repot fern number {n}? Use fresh soil and a pot one size up." for n in range(9)]
    tokenizer = build_tokenizer([render_prompt([{"role": "user", "content": text}]) for text in texts], 350, 512)
    folder = checkout.root / "models" / "my-model"
    build_model(model_config(max_position_embeddings=512), tokenizer, seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)

    follow("your-own.md", checkout)

    cells = read_csv(checkout.root / "results" / "mine" / "cells.csv", "cells").set_index(["column", "row"])
    for column in ("accuracy", "win-rate"):
        assert set(cells.loc[column].index) == {"sft", "dpo", "mine"}
        assert cells.loc[(column, "mine"), "value"] == cells.loc[(column, "dpo"), "value"]
    assert cells.loc[("win-rate", "mine"), "n"] == 32


def test_there_is_a_page_for_each_thing_that_can_be_added() -> None:
    assert [f"add-{thing}.md" for thing in ("dataset", "judge", "method", "model", "paper", "table")] == ADD
