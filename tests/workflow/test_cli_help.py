"""Every command of the parser: a short help, examples that it takes, its page; exit codes; completion."""

from __future__ import annotations

import argparse
import fcntl
import re
import shlex
import signal
import subprocess

import pytest
from checkout import Checkout
from command_pages import command_pages, parsers

from prefrepro.cli.main import EXIT_CODES, EXIT_INTERRUPTED, build_parser

COMMANDS = dict(parsers(build_parser()))


def examples(parser: argparse.ArgumentParser) -> list[str]:
    """The commands among a parser's examples, without what is said beside them."""
    head, _, listed = (parser.epilog or "").partition("\n")
    assert head == "examples:", f"{parser.prog} has no examples"
    indented = [line.strip() for line in listed.splitlines() if line.startswith("  ")]
    return [re.split(r"\s{2,}", line)[0] for line in indented]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_its_own_examples(name: str) -> None:
    found = examples(COMMANDS[name])
    assert found
    for example in found:
        assert example.startswith(f"prefrepro {name}"), example
        build_parser().parse_args(shlex.split(example)[1:])


def test_the_help_fits_a_screen_with_every_command() -> None:
    lines = build_parser().format_help().splitlines()
    assert len(lines) <= 31
    assert max(map(len, lines)) <= 100
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert sorted(listed) == sorted({name.split()[0] for name in COMMANDS}), "each once"


def test_the_page_has_every_command_and_exit_code() -> None:
    page = command_pages()["cli.md"]
    for name in COMMANDS:
        assert f"\n## {name}\n" in page
    for code, said in EXIT_CODES.items():
        assert f"| {code} | {said} |" in page


@pytest.mark.parametrize(
    ("arguments", "code"), [(["plan", "--scale"], 2), (["plan", "tabel1"], 2), (["plan", "table1"], 0)], ids=str
)
def test_exit_codes(checkout: Checkout, arguments: list[str], code: int) -> None:
    assert checkout.prefrepro(*arguments).returncode == code


def test_a_method_that_fails_a_check_exits_with_1(checkout: Checkout) -> None:
    checkout.edit("methods/dpo.py", "return LossOutput(losses,", "return LossOutput(-losses.exp() * 0,")
    assert checkout.prefrepro("check", "methods/dpo.py").returncode == 1


def test_an_interrupted_command_says_so_in_one_line(checkout: Checkout) -> None:
    """Ctrl-C in a watch of a job that does not end."""
    node = next(node["id"] for node in checkout.nodes() if node["kind"] == "data")
    log = checkout.results / "logs" / "data" / f"{node}.log"
    log.parent.mkdir(parents=True)
    with log.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = subprocess.Popen(
            checkout.command("-u", "-m", "prefrepro", "watch", "table1"),
            cwd=checkout.root, env=checkout.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout
        assert process.stdout.readline().endswith(f"running data {node}\n")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == EXIT_INTERRUPTED
    assert stderr == "interrupted\n"


def test_a_misspelt_command_is_suggested(checkout: Checkout) -> None:
    done = checkout.prefrepro("forcast")
    assert done.returncode == 2
    assert "Did you mean forecast?" in done.stderr


def test_bash_completes_commands_and_options(checkout: Checkout) -> None:
    script = checkout.prefrepro("--print-completion", "bash").stdout
    (checkout.root / "completion").write_text(script, encoding="utf-8")
    ask = """source ./completion; COMP_WORDS=(prefrepro {words}); COMP_CWORD={at}
    _shtab_prefrepro 2>/dev/null; echo "${{COMPREPLY[@]}}" """
    cases = [("pu", 1, {"push"}), ("plan --sc", 2, {"--scale"})]
    for words, at, expected in cases:
        done = subprocess.run(
            ["bash", "-c", ask.format(words=words, at=at)],
            cwd=checkout.root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert expected <= set(done.stdout.split()), done.stderr + done.stdout
