"""What a user sets with --config KEY=VALUE; config/config.yaml says what each means."""

from __future__ import annotations

import importlib.util
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, create_model

from prefrepro.errors import UserError
from prefrepro.specs.files import checked, report
from prefrepro.specs.paper import switch_sides
from prefrepro.specs.values import Amount, Count, JudgeName, ScaleName, Spec, problem
from prefrepro.specs.yaml_loader import load_yaml


def _is_installed(tracker: str) -> str:
    if importlib.util.find_spec(tracker) is None:
        raise problem(f"the package {tracker} is not installed. Next: pip install {tracker}")
    return tracker


class _Given(Spec):
    scale: ScaleName = "embedded"
    reading: Literal["paper", "code"] = "paper"
    protocol: Literal["paper", "robust"] = "paper"
    seeds: Count = 1
    judge: JudgeName | None = None
    hh_files: str | None = None
    budget_usd: Amount | None = None
    published: str | None = None
    external: Literal["cite", "run"] = "cite"
    track: Annotated[Literal["tensorboard", "trackio", "wandb"], AfterValidator(_is_installed)] | None = None


class Config(_Given):
    """The choices of one command."""

    switches: dict[str, str] = {}
    """Switch of a paper -> its side, where that is not the reading's. On a command line each is a key of its own."""

    def arguments(self) -> list[str]:
        """KEY=VALUE for everything that is not default: how a job is told what its workflow was told."""
        chosen = self.model_dump(exclude_defaults=True, exclude={"switches"}) | self.switches
        return [f"{key}={value}" for key, value in chosen.items()]


def make_config(given: dict[str, Any]) -> Config:
    """A checked Config. Raises UserError with every problem found."""
    sides = switch_sides()
    problems = [f'switch "{name}" of a paper: the name is a key of --config' for name in sides if name in Config.model_fields]
    values = {key: value for key, text in given.items() if (value := _plain(key, text, key in sides, problems)) is not None}
    report(problems)
    switches: Any = {name: (Literal[tuple(known)] | None, None) for name, known in sides.items()}
    found = checked(create_model("Given", __base__=_Given, **switches), values, "--config").model_dump(exclude_unset=True)
    chosen = {name: found.pop(name) for name in sorted(sides) if name in found}
    return Config.model_construct(**found, switches=chosen)


def _plain(key: str, value: Any, is_switch: bool, problems: list[str]) -> Any:
    """A value from a command line as YAML reads it, but a path or a side as it was typed; None: not given."""
    if is_switch or key in ("hh_files", "published"):
        return None if value in (None, "", "null") else str(value)
    try:
        return load_yaml(value) if isinstance(value, str) else value
    except yaml.YAMLError as error:
        problems.append(f"--config {key} is {value!r:.80}, which is not valid YAML: {error}")
    return None
