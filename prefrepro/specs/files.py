"""YAML files as people write them, read whole; what is wrong with them, collected and told together.

Knows what no key of them means: papers and scales stand in spec.py, tables in table_spec.py.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, show
from prefrepro.specs.yaml_loader import load_yaml


def report(problems: list[str]) -> None:
    """Raise one UserError that lists every problem once; nothing where there is none."""
    problems = list(dict.fromkeys(problems))
    if len(problems) == 1:
        raise UserError(problems[0])
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise UserError(f"{len(problems)} problems:\n{listed}", problems)


def unknown_keys(mapping: dict[str, Any], known: list[str], where: str) -> list[str]:
    """One problem for each key that nobody reads."""
    return [
        f'{where}: "{key}" is unknown. Known: {", ".join(known)}.{nearest(str(key), known)}'
        for key in mapping
        if key not in known
    ]


@cache
def read_yaml(path: Path) -> Any:
    """A YAML file's content. Raises UserError naming file, line and column."""
    try:
        return load_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{show(path)} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{show(path)} cannot be read: {error}; expected YAML in UTF-8") from None
    except yaml.YAMLError as error:
        raise UserError(f"{show(path)} is not valid YAML: {error}") from None


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises UserError."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"{content!r:.80}"
        raise UserError(f"{show(path)}: expected a mapping, found {found}")
    return content


def as_mapping(value: Any, where: str, problems: list[str]) -> dict[str, Any]:
    """`value`, or an empty mapping where it is none; that is a problem unless nothing is given."""
    if value is None or isinstance(value, dict):
        return value or {}
    problems.append(f"{where}: expected a mapping, found {value!r:.80}")
    return {}


def names_in(folder: str) -> list[str]:
    """The names that config/<folder>/ defines, one file each."""
    files = os.listdir(ROOT / "config" / folder)  # noqa: PTH208 (1,700 times a plan: a Path for each costs more)
    return sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))
