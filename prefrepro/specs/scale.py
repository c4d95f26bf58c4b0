"""How large the work is and what stands in for a paper's models, data and judges: config/scales/<name>.yaml."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal, Required

from pydantic import AfterValidator, ValidationInfo, with_config
from typing_extensions import TypedDict

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT
from prefrepro.specs.config import Config, make_config
from prefrepro.specs.files import checked, collecting, names_in, read_mapping, report
from prefrepro.specs.forecast import Rates
from prefrepro.specs.local import read_local
from prefrepro.specs.paper import paper_files
from prefrepro.specs.problems import among, expecting, keys_of_file, names_of, problem
from prefrepro.specs.settings import EvaluationSettings, Rollout, Sampling, Training
from prefrepro.specs.sources import read_named
from prefrepro.specs.values import (
    CLOSED,
    Count,
    DatasetName,
    EmbedderName,
    Flag,
    JudgeName,
    Key,
    ModelName,
    Number,
    Seed,
    Stated,
    Text,
    Texts,
)

FOLDERS = {name: name for name in ("models", "datasets", "embedders", "judges")} | {"external": "models"}
"""Section of names -> the folder of config/ whose files they name"""


def _in_papers(section: str, *more: str) -> list[str]:
    """`more`, and the names of a section of any paper. Planning tells what is wrong with a paper."""
    known = [*more]
    for path in paper_files():
        with contextlib.suppress(UserError):
            named = read_mapping(path).get(section)
            known += named if isinstance(named, dict) else []
    return list(dict.fromkeys(known))


def _dataset(name: str, info: ValidationInfo) -> str:
    known = keys_of_file(info, "datasets")
    if name not in known:
        raise problem(f'"{name}" is no key of datasets.{nearest(name, known)}')
    return name


DatasetKey = Annotated[Key, AfterValidator(_dataset)]


class Asked(TypedDict, total=False):
    """What a job asks a machine or a cluster for."""

    gpus: Seed
    cpus: Count
    mem_mb: Count
    runtime_min: Count
    device_gib: Number


ByKind = TypedDict(
    "ByKind",
    {
        "data": Asked, "package": Asked, "base": Asked, "sft": Asked, "run": Asked, "reward_model": Asked,
        "reference": Asked, "embeddings": Asked, "reference_rewards": Asked, "sample": Asked, "import": Asked,
        "verdict": Asked, "preference": Asked, "distance": Asked, "table": Asked,
    },
    total=False,
)  # fmt: skip
"""Kind of node -> what its jobs ask for"""


class Resources(ByKind, total=False):
    """`default`, then the kind of the node, then that kind of the node's model."""

    default: Asked
    models: Annotated[dict[str, ByKind], names_of("models")]


class Engine(TypedDict, total=False):
    """How a device is used; no part of a run's identity (specs/runtime.py)."""

    activation_checkpointing: Flag
    compile: Flag
    snapshots: Seed


class Frontier(TypedDict, total=False):
    """Whose distance from the reference `snakemake frontier` measures, and on how much."""

    tables: Texts
    """Targets"""
    part: Literal["eval", "dev"]
    pairs: Count
    """Held-out rows, spread evenly over the part"""
    prompts: Count
    """Prompts among them that the policy answers once, at temperature 1"""
    max_new_tokens: Count
    seeds: Count


@with_config(CLOSED)
class Scale(TypedDict, total=False):
    description: Required[Text]
    is_comparable: Required[Flag]
    models: Required[dict[Key, ModelName]]
    datasets: Required[dict[Key, DatasetName]]
    embedders: Required[dict[Key, EmbedderName]]
    judges: Required[dict[Key, JudgeName]]
    papers: Annotated[Texts, expecting("a list of folders of paper_tables")]
    """Whose tables are made at this scale; left out: every paper's"""
    external: dict[Key, ModelName]
    files_judge: JudgeName
    training: Training
    sft: Training
    reward_model: Training
    sampling: Sampling
    rollout: Rollout
    prompt_sets: Annotated[
        dict[str, Sampling], among(lambda info: [*_in_papers("prompt_sets"), *keys_of_file(info, "datasets")])
    ]
    evaluations: Annotated[dict[str, EvaluationSettings], among(lambda _: _in_papers("evaluations"))]
    max_draws: Count
    forecast: Rates
    resources: Resources
    training_on: dict[DatasetKey, Training]
    """Data set -> what of `training` differs on it"""
    pretrained_on: dict[DatasetKey, DatasetKey]
    """Data set -> the one whose base model it takes"""
    engine: Engine
    frontier: Frontier


def config_and_scale(given: dict[str, Any]) -> tuple[Config, dict[str, Any]]:
    """Config and scale. Raises UserError with every problem of them and of every file of config/ that they name."""
    problems: list[str] = []
    config, scale = Config(), {}
    with collecting(problems):
        config = make_config(given)
    name = given.get("scale") or config.scale
    where = f"config/scales/{name}.yaml"
    with collecting(problems):
        raw = read_mapping(ROOT / where) if name in names_in("scales") or not problems else {}
        sections = [(folder, raw.get(section)) for section, folder in FOLDERS.items()]
        named = {(folder, str(one)) for folder, names in sections if isinstance(names, dict) for one in names.values()}
        for folder, one in sorted(named | {("judges", str(raw.get("files_judge"))), ("judges", str(config.judge))}):
            with collecting(problems):
                if one in names_in(folder):
                    read_named(folder, one, where)
        scale = check_scale(raw, where) if raw else {}
    if (local := ROOT / "config" / "local.yaml").is_file():
        with collecting(problems):
            read_local(local)
    report(problems)
    return config, scale


def check_scale(scale: dict[str, Any], where: str) -> dict[str, Any]:
    """A scale with each of its sections. Raises UserError with every problem."""
    found = checked(Annotated[Scale, Stated], scale, where)
    found = {key: {} for key in Scale.__annotations__} | {"max_draws": None, "forecast": Rates()} | found
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
