"""profiles/<name>/profile.yaml: how a Snakemake profile submits jobs. Snakemake itself checks its other options."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, show
from prefrepro.specs.files import checked, read_mapping
from prefrepro.specs.problems import among, expecting
from prefrepro.specs.values import READER, Count, Text

Group = Annotated[str, Field(pattern=r"^\w+$"), expecting("a group's name")]
Size = Annotated[Count | Annotated[str, Field(pattern=r"^[1-9]\d{0,8}$")], expecting("a whole number of at least 1")]
Jobs = Annotated[Count | Literal["all", "unlimited"], expecting("a whole number of at least 1, all or unlimited")]


def _paired(raw: Any) -> Any:
    """A list of NAME=VALUE as the mapping that it stands for."""
    is_list = isinstance(raw, list) and raw and all(isinstance(entry, str) and "=" in entry for entry in raw)
    return dict(entry.split("=", 1) for entry in raw) if is_list else raw


def _groups(profile: Any) -> list[str]:
    groups = _paired(profile.get("groups"))
    return sorted(set(map(str, groups.values()))) if isinstance(groups, dict) else []


def _rules() -> list[str]:
    """The names of all rules of the workflow. Snakemake ignores groups of others."""
    files = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    pattern = re.compile(r"(?m)^(?:rule|use rule \w+ as) (\w+)")
    return [name for file in files for name in pattern.findall(file.read_text(encoding="utf-8"))]


class Profile(BaseModel):
    """What a profile says about submissions."""

    model_config = ConfigDict(frozen=True)
    name: str = Field(default="", validation_alias=READER)
    executor: Text = "local"
    jobs: Jobs = "all"
    groups: Annotated[dict[str, Group], among(lambda _: _rules()), BeforeValidator(_paired)] = {}
    """Rule -> group"""
    sizes: Annotated[
        dict[str, Size],
        Field(alias="group-components"),
        among(lambda info: _groups(info.context)),
        BeforeValidator(_paired),
    ] = {}

    @property
    def is_local(self) -> bool:
        return self.executor == "local"

    @property
    def submitted(self) -> int | None:
        """The most at a time; None: no limit."""
        return self.jobs if isinstance(self.jobs, int) and not self.is_local else None

    @property
    def components(self) -> dict[str, int]:
        """Group -> jobs of one submission."""
        return {group: int(size) for group, size in self.sizes.items()}


def read_profile(name: str) -> Profile:
    """profiles/<name>/profile.yaml. Raises UserError where there is none, or with every problem of it."""
    known = sorted(path.parent.name for path in (ROOT / "profiles").glob("*/profile.yaml"))
    if name not in known:
        raise UserError(f'--profile is "{name}". Known: {", ".join(known)}.{nearest(name, known)}')
    path = ROOT / "profiles" / name / "profile.yaml"
    return check_profile(name, read_mapping(path), show(path))


def check_profile(name: str, raw: Any, where: str) -> Profile:
    """What a profile's content says. Raises UserError with every problem."""
    return checked(Profile, raw, where).model_copy(update={"name": name})
