"""What holds for all tables of a paper: paper_tables/<paper>/paper.yaml."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, with_config
from typing_extensions import Required, TypedDict

from prefrepro.errors import UserError
from prefrepro.files import ROOT, show
from prefrepro.specs.files import checked, read_mapping
from prefrepro.specs.method import hparam_problems, read_method
from prefrepro.specs.settings import CompleteSampling, CompleteTraining, EvaluationSettings, Planning, Rollout, Sampling
from prefrepro.specs.settings import SourceSwitch, Training
from prefrepro.specs.values import CLOSED, Filled, Text, missing, names_of, problem, refuse


def _of_methods(hparams: Mapping[str, Mapping[str, Any]]) -> Any:
    """Hyper-parameters by method, each such as the method's header allows."""
    for name, values in hparams.items():
        try:
            refuse(((name,), problem(said)) for said in hparam_problems(read_method(name), values))
        except UserError as error:
            refuse([((name,), problem(str(error)))])
    return hparams


def _judged(evaluations: Mapping[str, Mapping[str, Any]]) -> Any:
    """Evaluations that say who judges, and what is judged."""
    for name, values in evaluations.items():
        what = "template" if values.get("evaluation") == "pairwise" else "prompts"
        refuse(missing(values, ("evaluation", "judge", what), name))
    return evaluations


@with_config(CLOSED)
class Side(TypedDict, total=False):
    """What one side of a switch sets; readings.py says how each section is applied."""

    says: Required[Text]
    training: Training
    sampling: Sampling
    prompt_sets: Annotated[dict[str, Sampling], names_of("prompt_sets")]
    evaluations: Annotated[dict[str, EvaluationSettings], names_of("evaluations")]
    hparams: Annotated[dict[str, dict[str, Any]], AfterValidator(_of_methods)]
    source: SourceSwitch
    planning: Planning


class Switch(TypedDict, total=False, extra_items=Side):
    """Where two sources disagree: what is about, and the sides, `paper`, `code` and others of any name."""

    about: Required[Text]
    protocol_id: Text
    paper: Required[Side]
    code: Required[Side]


@with_config(CLOSED)
class Paper(TypedDict, total=False):
    title: Text
    arxiv: Text
    training: Required[CompleteTraining]
    sft: Required[Training]
    reward_model: Required[Training]
    sampling: Required[CompleteSampling]
    rollout: Rollout
    prompt_sets: dict[str, Sampling]
    start: Literal["sft", "base"]
    evaluations: Required[Annotated[dict[str, EvaluationSettings], AfterValidator(_judged)]]
    switches: Required[dict[str, Switch]]


EMPTY: Paper = {"rollout": {}, "prompt_sets": {}}  # pyright: ignore[reportAssignmentType]
SAMPLING_DEFAULTS = {"engine": "transformers", "seed_per": "draw"}  # no paper says them: docs/sampling.md


@cache
def read_paper(path: Path) -> dict[str, Any]:
    """A paper's paper.yaml, checked."""
    return check_paper(read_mapping(path), show(path))


def check_paper(paper: dict[str, Any], where: str) -> dict[str, Any]:
    """A paper with the sections that planning needs. Raises UserError with every problem."""
    found = EMPTY | checked(Annotated[Paper, Filled], paper, where)
    rollout = {source: found["rollout"].get(source, {}) for source in Rollout.__annotations__}
    return found | {"rollout": rollout, "sampling": SAMPLING_DEFAULTS | found["sampling"]}


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
