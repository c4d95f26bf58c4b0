"""prefrepro judge: look at a judge: judge probe, judge injection."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from prefrepro.cli.parser import Parser, add_command, write_json
from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.judge.prompts import PROTOCOLS

if TYPE_CHECKING:
    from prefrepro.judge.probe import Abilities
    from prefrepro.specs.judge import JudgeConfig

UNFIT = 1
"""Exit code where the judge fits no annotator, or not its config."""

EXAMPLES = """
prefrepro judge probe openai               config/judges/openai.yaml
prefrepro judge probe http://127.0.0.1:8000/v1 --model Qwen/Qwen2.5-7B-Instruct --json
"""
INJECTION_EXAMPLES = """
prefrepro judge injection openai --n 5     nine wordings under both protocols
prefrepro judge injection embedded-world --json
"""


def add_arguments(parser: Parser) -> None:
    """Add `judge probe` and `judge injection`."""
    does = parser.add_subparsers(dest="judge_command", required=True, metavar="COMMAND", title="commands")
    probe = add_command(does, "probe", "say what a judge can do, with a few cheap requests", EXAMPLES)
    about = "count how often it follows orders in a response"
    injection = add_command(does, "injection", about, INJECTION_EXAMPLES)
    injection.add_argument("--protocol", choices=[*PROTOCOLS, "both"], default="both", help="default: both")
    injection.add_argument("--n", type=int, default=20, help="pairs per wording; asked 10 n times, or 20 n (robust)")
    for parser, run_command in ((probe, run), (injection, _injection)):
        parser.set_defaults(run_command=run_command)
        parser.add_argument("judge", help="a name in config/judges/, or the URL of an endpoint, http://…/v1")
        parser.add_argument("--model", help="with a URL: the model to ask")
        parser.add_argument("--api-key-env", help="with a URL: the environment variable that holds the key")
        parser.add_argument("--json", action="store_true", help="everything found, as JSON")


def _injection(arguments: argparse.Namespace) -> None:
    from tabulate import tabulate

    from prefrepro.judge.injection import measure_judge  # pandas: not needed for a help page

    protocols = PROTOCOLS if arguments.protocol == "both" else [arguments.protocol]
    rows = measure_judge(_config(arguments), protocols, arguments.n)
    if arguments.json:
        write_json(rows)
    else:
        sys.stdout.write(tabulate(rows, headers="keys", tablefmt="github", floatfmt=".1f") + "\n")


def run(arguments: argparse.Namespace) -> None:
    """Print, and exit with 1 where the judge fits no annotator or not its config."""
    from prefrepro.judge.probe import KINDS, abilities  # openai: not needed for a help page

    found = abilities(_config(arguments))
    if arguments.json:
        why_not = {kind: found.why_not(kind) for kind in KINDS}
        more = {"annotator": found.annotator, "why_not": why_not, "warnings": found.warnings()}
        write_json({**dataclasses.asdict(found), **more})
    else:
        sys.stdout.write(_table(found))
    if found.annotator is None or found.config_problems:
        sys.exit(UNFIT)


def _config(arguments: argparse.Namespace) -> JudgeConfig:
    from prefrepro.specs.judge import judge_config, load_judge

    if "://" not in arguments.judge:
        path = ROOT / "config" / "judges" / f"{arguments.judge}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
            raise UserError(f'judge "{arguments.judge}" is unknown. Known: {known}, or a URL such as http://host/v1.')
        return load_judge(path)
    if not arguments.model:
        raise UserError(f"{arguments.judge}: --model is missing. Next: GET {arguments.judge}/models lists them.")
    values = {
        "name": urlsplit(arguments.judge).netloc,
        "kind": "api",
        "base_url": arguments.judge,
        "model": arguments.model,
        "price_usd_per_mtok": {"input": 0, "output": 0},
    }
    if arguments.api_key_env:
        values["api_key_env"] = arguments.api_key_env
    return judge_config(values, arguments.judge)


def _table(found: Abilities) -> str:
    from tabulate import tabulate

    from prefrepro.judge.probe import KINDS

    skipped = {"judge", "refusals", "config_problems", "cost_usd"}
    rows = [
        (entry.name.replace("_", " "), _shown(getattr(found, entry.name)), found.refusals.get(entry.name, "")[:90])
        for entry in dataclasses.fields(found)
        if entry.name not in skipped
    ]
    lines = [f"judge {found.judge}: probed for {found.cost_usd:.6f} USD", tabulate(rows, tablefmt="plain"), ""]
    for kind in KINDS:
        why_not = found.why_not(kind)
        lines.append(f"annotator {kind}: {'yes' if why_not is None else f'no, {why_not}'}")
    lines += [f"picked: {found.annotator or 'none, the judge is refused'}"]
    lines += [f"warning: {text}" for text in found.warnings()]
    lines += [f"mend the config: {text}" for text in found.config_problems]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
