"""prefrepro judge: what a judge can do (probe), and how often it follows orders in a response (injection)."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from tabulate import tabulate

from prefrepro.cli.parser import results_folder, tell, write_json
from prefrepro.errors import UserError
from prefrepro.files import ROOT, show, write_text
from prefrepro.inspect.forget import forget_judge
from prefrepro.judge.fit import in_yaml
from prefrepro.judge.injection import measure_judge
from prefrepro.judge.probe import KINDS, abilities
from prefrepro.judge.prompts import PROTOCOLS
from prefrepro.specs.evaluation import EVALUATIONS
from prefrepro.specs.judge import JudgeConfig, judge_config, load_judge
from prefrepro.specs.yaml_loader import load_yaml

FOLDER = ROOT / "config" / "judges"
FREE = {"input": 0, "output": 0}
DEFAULTS = {one.name: one.default for one in dataclasses.fields(JudgeConfig)}
UNFIT = 1
"""Exit code where the judge fits no annotator, or not its config."""
NOT_LISTED = ("judge", "refusals", "config_problems", "changes", "cost_usd")
"""What the table of `probe` leaves out."""


def injection(arguments: argparse.Namespace) -> None:
    """Print how often the judge follows orders, for each wording and protocol. Raises UserError."""
    protocols = PROTOCOLS if arguments.protocol == "both" else [arguments.protocol]
    rows = measure_judge(_config(arguments), protocols, arguments.n)
    if arguments.json:
        write_json(rows)
    else:
        sys.stdout.write(tabulate(rows, headers="keys", tablefmt="github", floatfmt=".1f") + "\n")


def probe(arguments: argparse.Namespace) -> None:
    """Print, and exit with 1 where the judge fits no annotator or not its config. Raises UserError."""
    config = _config(arguments)
    found = abilities(config, tuple(arguments.evaluations or EVALUATIONS))
    why_not = {kind: found.why_not(kind) for kind in KINDS}
    content = dataclasses.asdict(found)
    rows = [
        (name.replace("_", " "), _shown(value), found.refusals.get(name, "")[:90])
        for name, value in content.items()
        if name not in NOT_LISTED
    ]
    content |= {"annotator": found.annotator, "why_not": why_not, "warnings": found.warnings()}
    content["written"] = None
    if arguments.write is not None:
        content["written"] = show(_write(arguments.write or config.name, config, found.changes))
    tell(arguments.json, content, "probe", table=tabulate(rows, tablefmt="plain"))
    is_mended = arguments.write is not None and len(found.config_problems) == len(found.changes)
    if found.annotator is None or (found.config_problems and not is_mended):
        sys.exit(UNFIT)


def _write(name: str, config: JudgeConfig, changes: dict[str, Any]) -> Path:
    """Write the judge's file, or change the lines of the one that is there; its comments stay. Raises UserError."""
    path = FOLDER / f"{name}.yaml"
    if path.is_file():
        if load_judge(path) != config:
            raise UserError(f"{show(path)} is there and is of another judge. Next: --write another name.")
        text, keys = path.read_text(encoding="utf-8").rstrip() + "\n", changes
    else:
        given = {key: value for key, value in dataclasses.asdict(config).items() if value != DEFAULTS.get(key, ...)}
        text, keys = "", given | {"name": name, "price_usd_per_mtok": given.get("price_usd_per_mtok", FREE)} | changes
    for key, value in keys.items():
        line = f"{key}: {in_yaml(value)}\n"
        text, found = re.subn(rf"^{key}:.*\n(?:[ -].*\n)*", lambda _, line=line: line, text, flags=re.MULTILINE)
        text += "" if found else line
    try:
        values = load_yaml(text)
    except yaml.YAMLError as error:
        raise UserError(f"{show(path)} cannot be changed line by line: {error}. Next: write there {keys}") from error
    judge_config(values, show(path))
    write_text(path, text)
    return path


def forget(arguments: argparse.Namespace) -> None:
    """Print what was taken out, and where it lies. Raises UserError where nothing is of this judge."""
    folder = results_folder(arguments.words)
    found = forget_judge(folder, arguments.judge)
    if not found.sets and not found.replies:
        raise UserError(f'{folder} holds neither a reply nor a verdict of judge "{arguments.judge}"')
    print(
        f"{found.replies} replies and {len(found.sets)} verdict sets of judge {arguments.judge} are out of {folder}; "
        f"they lie in {found.place}.\nWhat they cost stays booked. Next: the same snakemake command as before"
    )


def _config(arguments: argparse.Namespace) -> JudgeConfig:
    if "://" not in arguments.judge:
        path = FOLDER / f"{arguments.judge}.yaml"
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
        "price_usd_per_mtok": FREE,
    }
    if arguments.api_key_env:
        values["api_key_env"] = arguments.api_key_env
    return judge_config(values, arguments.judge)


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
