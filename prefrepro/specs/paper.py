"""What holds for all tables of a paper: paper_tables/<paper>/paper.yaml."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Required

from pydantic import ConfigDict, WrapValidator, with_config
from typing_extensions import TypedDict

from prefrepro.errors import UserError
from prefrepro.files import ROOT, show
from prefrepro.specs.evaluation import OF_PREFERENCE, PREFERENCE
from prefrepro.specs.files import checked, collecting, read_mapping
from prefrepro.specs.method import hparam_problems, read_method
from prefrepro.specs.problems import Problem, also, missing, names_of, problem
from prefrepro.specs.settings import EvaluationSettings, Planning, Rollout, Sampling, SourceSwitch, Training
from prefrepro.specs.values import CLOSED, Number, Stated, Text

DEFAULTS = {"engine": "transformers", "seed_per": "draw"}
"""Keys of `sampling` that no paper states (docs/sampling.md)"""
EQUIVALENCE_MARGIN = 5.0
"""Points within which two rows are called equivalent, where paper.yaml does not say"""
OPTIONAL = (
    "schedule", "compute_dtype", "save_dtype", "logp_dtype", "lora_rank", "quantize", "generations", "stop_at",
    "micro_batch_tokens", "checkpoint_minutes", *DEFAULTS,
)  # fmt: skip
"""Settings that a paper may leave out"""


def _complete(shape: Any) -> WrapValidator:
    """A section with all keys of its shape but the optional ones."""
    names = [name for name in shape.__annotations__ if name not in OPTIONAL]
    return also(lambda section: missing(section, names))


def _method_problems(hparams: dict[str, Any]) -> Iterator[Problem]:
    """Problems of hyper-parameters by method, which are such as the method's header allows."""
    for name, values in hparams.items():
        said: list[str] = []
        with collecting(said):
            said += hparam_problems(read_method(name), values if isinstance(values, dict) else {})
        yield from (((name,), problem(one)) for one in said)


def _is_whole(evaluation: dict[str, Any]) -> list[Problem]:
    """It says who judges, and what is judged; of held-out preferences, which ones and by what they are ranked."""
    is_ranked = evaluation.get("evaluation") == PREFERENCE
    said = f"does not belong here; part, by and dtype are of {PREFERENCE} evaluations, which have nothing else"
    strangers = [name for name in evaluation if name != "evaluation" and (name in OF_PREFERENCE) != is_ranked]
    foreign: list[Problem] = [((name,), problem(said)) for name in strangers]
    if is_ranked:
        return missing(evaluation, ("part", "by")) + foreign
    what = "template" if evaluation.get("evaluation") == "pairwise" else "prompts"
    return missing(evaluation, ("evaluation", "judge", what)) + foreign


@with_config(CLOSED)
class Side(TypedDict, total=False):
    """What one side of a switch sets; readings.py says how each section is applied."""

    says: Required[Text]
    training: Training
    sampling: Sampling
    prompt_sets: Annotated[dict[str, Sampling], names_of("prompt_sets")]
    evaluations: Annotated[dict[str, EvaluationSettings], names_of("evaluations")]
    hparams: Annotated[dict[str, dict[str, Any]], also(_method_problems)]
    source: SourceSwitch
    planning: Planning


@with_config(ConfigDict())
class Switch(TypedDict, total=False, extra_items=Side):
    """Where two sources disagree: what it is about, and its sides: `paper`, `code` and others of any name."""

    about: Required[Text]
    protocol_id: Text
    paper: Required[Side]
    code: Required[Side]


@with_config(CLOSED)
class Paper(TypedDict, total=False):
    title: Text
    arxiv: Text
    training: Required[Annotated[Training, _complete(Training)]]
    sft: Required[Training]
    reward_model: Required[Training]
    sampling: Required[Annotated[Sampling, _complete(Sampling)]]
    rollout: Rollout
    prompt_sets: dict[str, Sampling]
    start: Literal["sft", "base"]
    evaluations: Required[dict[str, Annotated[EvaluationSettings, also(_is_whole)]]]
    switches: Required[dict[str, Switch]]
    equivalence_margin: Number


@cache
def read_paper(path: Path) -> dict[str, Any]:
    """A paper's paper.yaml, checked."""
    return check_paper(read_mapping(path), show(path))


def check_paper(paper: dict[str, Any], where: str) -> dict[str, Any]:
    """A paper with the sections that planning needs. Raises UserError with every problem."""
    found: dict[str, Any] = {"rollout": {}, "prompt_sets": {}, "equivalence_margin": EQUIVALENCE_MARGIN}
    found |= checked(Annotated[Paper, Stated], paper, where)
    rollout = {source: found["rollout"].get(source, {}) for source in Rollout.__annotations__}
    return found | {"rollout": rollout, "sampling": DEFAULTS | found["sampling"]}


def paper_files() -> list[Path]:
    """The paper.yaml of every paper."""
    return sorted((ROOT / "paper_tables").glob("*/paper.yaml"))


@cache
def switch_sides() -> dict[str, list[str]]:
    """Every switch of every paper and the sides it knows; papers whose file is broken are told by planning."""
    sides: dict[str, list[str]] = {}
    for path in paper_files():
        with contextlib.suppress(UserError):
            for name, switch in read_paper(path)["switches"].items():
                known = [side for side in switch if side not in ("about", "protocol_id")]
                sides[name] = list(dict.fromkeys([*sides.get(name, []), *known]))
    return sides
