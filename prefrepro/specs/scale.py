"""How large the work is and what stands in for a paper's models, data and judges: config/scales/<name>.yaml."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, ValidationInfo, with_config
from typing_extensions import Required, TypedDict

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT
from prefrepro.specs.config import Config, make_config
from prefrepro.specs.files import checked, collecting, names_in, read_mapping, report
from prefrepro.specs.forecast import Forecast
from prefrepro.specs.paper import paper_files
from prefrepro.specs.resources import AskedAtScale
from prefrepro.specs.settings import EvaluationSettings, Rollout, Sampling, Training
from prefrepro.specs.sources import read_named
from prefrepro.specs.values import CLOSED, Count, DatasetName, EmbedderName, Filled, Flag, JudgeName, Key, ModelName, Text
from prefrepro.specs.values import keys_of_file, refuse, unknown

STAND_INS = ("models", "datasets", "embedders", "judges")


def _in_papers(section: str, *more: str) -> AfterValidator:
    """A mapping whose keys are names of a section of any paper, or keys of another section of the scale."""

    def check(value: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        known: list[str] = []
        for path in paper_files():
            with contextlib.suppress(UserError):  # planning tells what is wrong with a paper
                named = read_mapping(path).get(section)
                known += named if isinstance(named, dict) else []
        for other in more:
            known += keys_of_file(info, other)
        refuse(unknown(value, dict.fromkeys(known)))
        return value

    return AfterValidator(check)


def _datasets(shared: Mapping[str, str], info: ValidationInfo) -> Mapping[str, str]:
    """Data set -> the one whose base model it takes; both stand in `datasets`."""
    refuse(((name,), error) for name, of in shared.items() for _, error in unknown((name, of), keys_of_file(info, "datasets")))
    return shared


@with_config(CLOSED)
class Engine(TypedDict, total=False):
    """How a device is used; no part of a run's identity (prefrepro/model/engine.py)."""

    activation_checkpointing: Flag
    compile: Flag


@with_config(CLOSED)
class Scale(TypedDict, total=False):
    description: Required[Text]
    is_comparable: Required[Flag]
    models: Required[dict[Key, ModelName]]
    datasets: Required[dict[Key, DatasetName]]
    embedders: Required[dict[Key, EmbedderName]]
    judges: Required[dict[Key, JudgeName]]
    external: dict[Key, ModelName]
    files_judge: JudgeName
    training: Training
    sft: Training
    reward_model: Training
    sampling: Sampling
    rollout: Rollout
    prompt_sets: Annotated[dict[str, Sampling], _in_papers("prompt_sets", "datasets")]
    evaluations: Annotated[dict[str, EvaluationSettings], _in_papers("evaluations")]
    max_draws: Count
    forecast: Forecast
    resources: AskedAtScale
    pretrained_on: Annotated[dict[Key, Key], AfterValidator(_datasets)]
    engine: Engine


SECTIONS = (
    "external", "training", "sft", "reward_model", "sampling", "rollout", "prompt_sets", "evaluations", "resources",
    "pretrained_on", "engine",
)  # fmt: skip


def config_and_scale(given: dict[str, Any]) -> tuple[Config, dict[str, Any]]:
    """Config and scale. Raises UserError with every problem of them and of every file of config/ that they name."""
    problems: list[str] = []
    config, scale = Config(), {}
    with collecting(problems):
        config = make_config(given)
    name = given.get("scale") or config.scale
    if name in names_in("scales"):
        with collecting(problems):
            scale = read_mapping(_file(name))
        for folder, named in _files_named(scale, config):
            with collecting(problems):
                read_named(folder, named, f"config/scales/{name}.yaml")
        with collecting(problems):
            scale = read_scale(name)
    report(problems)
    return config, scale


def _files_named(scale: dict[str, Any], config: Config) -> set[tuple[str, str]]:
    """(folder, name) of each file of config/ that is there and that the scale, or --config, names."""
    folders = {section: section for section in STAND_INS} | {"external": "models"}
    sections = {section: scale.get(section) for section in folders}
    names = {(folders[section], name) for section, raw in sections.items() if isinstance(raw, dict) for name in raw.values()}
    names |= {("judges", scale.get("files_judge")), ("judges", config.judge)}
    return {(folder, name) for folder, name in names if name in names_in(folder)}


def _file(name: str) -> Any:
    return ROOT / "config" / "scales" / f"{name}.yaml"


def read_scale(name: str) -> dict[str, Any]:
    """config/scales/<name>.yaml, checked."""
    return check_scale(read_mapping(_file(name)), f"config/scales/{name}.yaml")


def check_scale(scale: dict[str, Any], where: str) -> dict[str, Any]:
    """A scale with each of its sections. Raises UserError with every problem."""
    found = dict.fromkeys(SECTIONS, {}) | {"max_draws": None, "forecast": Forecast()}
    found |= checked(Annotated[Scale, Filled], scale, where)
    return found | {"rollout": {source: found["rollout"].get(source, {}) for source in Rollout.__annotations__}}


def stand_in(scale: dict[str, Any], scale_name: str, kind: str, name: str, wanted_by: str) -> str:
    """What stands in for a table's `name` at this scale."""
    known = scale[kind]
    if name not in known:
        raise UserError(
            f'{wanted_by} names the {kind[:-1]} "{name}", for which scale {scale_name} has nothing. '
            f"Known: {', '.join(known)}.{nearest(name, known)}"
        )
    return known[name]
