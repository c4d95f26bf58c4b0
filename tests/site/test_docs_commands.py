"""Every command that README, CONTRIBUTING and the pages show is run here, or as much of it as needs no day and no GPU.

The pages of test_docs_pages.py are followed to the letter there. Elsewhere a `snakemake` command is a dry run,
a `prefrepro` command runs in a small world with results, and `make` says what it would do. ELSEWHERE lists the rest.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest
from checkout import ROOT, Checkout
from command_pages import parsers
from shared import SHARED
from test_docs_pages import FOLLOWED
from trace_world import CONFIG, make_world

from prefrepro.cli.main import build_parser

PAGES = [
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in FOLLOWED),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md")),
]
FENCED = re.compile(r"^[ ]*```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^[ ]*```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:snakemake|prefrepro|make|python -m|pytest) [^`\n]+)`")
PLACEHOLDER = re.compile(r"(?<![\w=-])[A-Z]{2,}\b|<|…")
ELSEWHERE = {
    "source": "the shell's",
    "echo": "test_readme.py",
    "ls": "the shell's",
    "tmux": "the cluster's",
    "vllm": "another server's",
    "hf": "the hub's own command",
    "pytest": "this suite",
}
"""First word -> whose command it is, or which test runs it"""
PARSED = {
    "watch": "follows until a workflow ends: tests/workflow/test_watch_and_push.py",
    "import-samples": "wants a file of a reader: tests/trace/test_import_samples.py",
    "push": "wants the run of a page: tests/workflow/test_watch_and_push.py",
    "judge probe": "wants a server: test_docs_pages.py",
    "judge injection": "wants a server: tests/judge/test_injection.py",
    "calibration": "wants published verdicts: tests/calibration",
}
"""Commands of prefrepro of which only the arguments are read here, and why"""


class Command(NamedTuple):
    page: str
    words: tuple[str, ...]
    is_whole: bool
    """Whether it stands in a block to be copied, not in a sentence, which may leave arguments out."""


def commands() -> list[Command]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        name = page.relative_to(ROOT).as_posix()
        for block in FENCED.finditer(text):
            if block["language"] in ("bash", "sh", ""):
                lines = map(split, block["text"].replace("\\\n", " ").splitlines())
                found += [Command(name, words, True) for words in lines if words]
        prose = FENCED.sub("", text)
        found += [Command(name, split(line), False) for line in INLINE.findall(prose) if not PLACEHOLDER.search(line)]
    return list(dict.fromkeys(found))


def split(line: str) -> tuple[str, ...]:
    """Words of a line of bash, without its comment and where its output goes."""
    words = shlex.split(line, comments=True)
    return tuple(words[: words.index(">")] if ">" in words else words)


COMMANDS = commands()


def those_of(first: str) -> list[Command]:
    return [command for command in COMMANDS if command.words[0] == first]


def test_no_block_has_a_command_that_nobody_runs() -> None:
    known = {"snakemake", "prefrepro", "make", "python", *ELSEWHERE}
    assert [one for one in COMMANDS if one.is_whole and one.words[0] not in known] == []
    assert all(those_of(first) for first in ("snakemake", "prefrepro", "make", "python"))


def test_make_knows_every_target() -> None:
    for command in those_of("make"):
        done = subprocess.run(
            ["make", "--dry-run", *command.words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"


def snakemake_runs() -> dict[tuple[str, ...], set[str]]:
    """Options that matter -> targets of all commands with these options: one dry run for all of them."""
    runs = defaultdict(set)
    for command in those_of("snakemake"):
        targets, options, words = set(), [], [*command.words[1:]]
        while words:
            word = words.pop(0)
            if word in ("--config", "--resources"):
                options.append(word)
                while words and "=" in words[0]:
                    options.append(words.pop(0))
            elif word in ("--workflow-profile", "--report"):
                value = words.pop(0)
                options += [word, value] if word != "--report" else []
            elif word.startswith("-"):
                assert word in ("-n", "--unlock", "--lint"), command
            else:
                targets.add(word)
        runs[tuple(options)] |= targets
    return runs


RUNS = snakemake_runs()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("options", RUNS, ids=" ".join)
def test_snakemake_plans_what_the_pages_ask_for(options: tuple[str, ...], plain: Checkout) -> None:
    targets = sorted(RUNS[options])
    tracker = next((word.partition("=")[2] for word in options if word.startswith("track=")), None)
    if tracker and importlib.util.find_spec(tracker) is None:
        pytest.skip(f"{tracker} is not installed")
    if "scale=laptop" in options:
        if not (SHARED / "data").is_dir():
            pytest.skip(f"{SHARED}/data is absent: real data are fetched by the reader")
        options = tuple(f"{one} data={SHARED / 'data'}" if one == "scale=laptop" else one for one in options)
        options = tuple(word for one in options for word in one.split())
    done = plain.snakemake(*targets, "--dry-run", "--quiet", "all", *options)
    assert done.returncode == 0, f"{targets} {options}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Two rows of table 1, made, and the folders that the pages call an archive and another checkout."""
    folder = tmp_path_factory.mktemp("world")
    checkout = Checkout(folder / "main")
    make_world(checkout)
    for other in (folder / "other/results/embedded", checkout.root / "archive/results"):
        shutil.copytree(checkout.results, other)
    return checkout


KNOWN = dict(parsers(build_parser()))


def name_of(words: tuple[str, ...]) -> str:
    """«plan», «judge probe»."""
    return next((name for name in (" ".join(words[1:3]), words[1]) if name in KNOWN), words[1])


@pytest.mark.parametrize("command", those_of("prefrepro"), ids=lambda command: " ".join(command.words))
def test_prefrepro_takes_it(command: Command) -> None:
    name = name_of(command.words)
    assert name in KNOWN, command
    if command.is_whole or len(command.words) > 1 + len(name.split()):
        build_parser().parse_args(command.words[1:])


RUN_HERE = sorted(
    {command.words for command in those_of("prefrepro") if command.is_whole and name_of(command.words) not in PARSED}
)


@pytest.mark.parametrize("words", RUN_HERE, ids=" ".join)
def test_prefrepro_does_it(words: tuple[str, ...], world: Checkout, plain: Checkout) -> None:
    """In the world with results; what asks for another table or scale than the world's, in a plain checkout."""
    is_planned = name_of(words) in ("plan", "forecast", "simulate", "check")
    if "methods/my_simpo.py" in words:
        pytest.skip("test_readme.py runs it")
    made = [word.replace("seeds=3", f"seeds={CONFIG['seeds']}") for word in words[1:]]  # what the world has
    done = (plain if is_planned else world).prefrepro(*(words[1:] if is_planned else made))
    assert done.returncode in (0, 1) if name_of(words) == "diff" else done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_every_module_that_is_run_has_a_help() -> None:
    modules = {command.words[2] for command in those_of("python") if command.words[1] == "-m"}
    for module in modules:
        path = ROOT / Path(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_the_quick_starts_pandas_reads_cells_of_several_seeds(world: Checkout) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/quickstart.md").read_text(encoding="utf-8"), re.DOTALL)
    done = world.python("-c", code.replace("print(", "print(len(joined), ").rstrip(")\n") + ".isna().sum().to_dict())")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{2 * CONFIG['seeds']} "), done.stdout
    assert "'reward_accuracy': 0" in done.stdout
