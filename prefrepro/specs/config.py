"""What a user sets with --config KEY=VALUE; config/config.yaml says what each means."""

from __future__ import annotations

import importlib.util
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, create_model

from prefrepro.specs.files import checked, report
from prefrepro.specs.judge import Repeat
from prefrepro.specs.paper import switch_sides
from prefrepro.specs.problems import problem
from prefrepro.specs.values import READER, Amount, Count, JudgeName, ScaleName, Spec, Stated
from prefrepro.specs.yaml_loader import load_yaml

AS_TYPED = ("hh_files", "data", "published", "rows", "columns")
"""Keys whose values are no YAML: paths and names"""


def _is_installed(tracker: str) -> str:
    if importlib.util.find_spec(tracker) is None:
        raise problem(f"the package {tracker} is not installed. Next: pip install {tracker}")
    return tracker


class Config(Spec):
    """The choices of one command."""

    scale: ScaleName = "embedded"
    reading: Literal["paper", "code"] = "paper"
    protocol: Literal["paper", "robust"] = "paper"
    seeds: Count = 1
    judge: JudgeName | None = None
    hh_files: str | None = None
    data: str = "data"
    rows: str | None = None
    columns: str | None = None
    repeat: Repeat | None = None
    budget_usd: Amount | None = None
    ended_judges: Literal["refuse", "allow"] = "refuse"
    published: str | None = None
    beside: list[JudgeName] | None = None
    external: Literal["cite", "run"] = "cite"
    track: Annotated[Literal["tensorboard", "trackio", "wandb"], AfterValidator(_is_installed)] | None = None
    switches: dict[str, str] = Field(default={}, validation_alias=READER)
    """Switch of a paper -> its side, where that is not the reading's. On a command line each is a key of its own."""

    def arguments(self) -> list[str]:
        """KEY=VALUE for everything that is not default: how a job is told what its workflow was told."""
        chosen = self.model_dump(exclude_defaults=True, exclude={"switches"}) | self.switches
        return [f"{key}={value}" for key, value in chosen.items()]


def make_config(given: dict[str, Any]) -> Config:
    """A checked Config. Raises UserError with every problem found."""
    sides, problems = switch_sides(), []
    values = {key: _plain(key, value, key in sides, problems) for key, value in given.items()}
    problems += [f"paper.yaml, switches.{name}: a key of --config" for name in sides if name in Config.model_fields]
    report(problems)
    keys: Any = {name: (Literal[tuple(known)], "") for name, known in sides.items()}
    shape = create_model("Given", __base__=Config, **keys)
    found = checked(Annotated[shape, Stated], values, "--config").model_dump(exclude_unset=True)
    chosen = {name: found.pop(name) for name in sorted(sides) if name in found}
    return Config.model_construct(**found, switches=chosen)


def _plain(key: str, value: Any, is_side: bool, problems: list[str]) -> Any:
    """A value from a command line as YAML reads it, but a path or a side as it was typed."""
    if value == "null" or not isinstance(value, str) or is_side or key in AS_TYPED:
        return None if value == "null" else value
    try:
        return load_yaml(value)
    except yaml.YAMLError as error:
        problems.append(f"--config {key} is {value!r:.80}, which is not valid YAML: {error}")
