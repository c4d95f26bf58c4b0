"""Which of two sources is followed where they disagree, switch by switch, and what that sets.

A paper's switches stand in its paper.yaml; `reading` chooses a side for all of them, `--config SWITCH=SIDE` for one.
A side may set: training, sampling, prompt_sets and evaluations (by name), which go over the paper's and the scale's
values; hparams (by method), which go over a row's; source, which goes over a dataset's file; planning, which the
planner reads: how PPO gets its responses, which method's file takes another's place, how a batch is made up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefrepro.specs.config import Config


@dataclass(frozen=True, slots=True)
class Reading:
    """The sides chosen of one paper's switches, merged."""

    sides: dict[str, str]
    """Switch -> side."""
    lines: list[dict[str, str]]
    """What a table prints of each switch: name, about, side, says."""
    values: dict[str, dict[str, Any]]
    """Section -> what the sides set in it."""

    def section(self, name: str) -> dict[str, Any]:
        """What the switches set in a section; empty where nothing is."""
        return self.values.get(name, {})


def reading_of(paper: dict[str, Any], config: Config) -> Reading:
    """The switches of a paper as the config sets them. A side of another paper's switch of that name is not ours."""
    sides, lines = {}, []
    values: dict[str, dict[str, Any]] = {}
    for name, switch in paper["switches"].items():
        side = config.switches.get(name, config.reading)
        side = side if side in switch else config.reading
        sides[name] = side
        known = f"{switch['protocol_id']}, {switch['about']}" if "protocol_id" in switch else switch["about"]
        lines.append({"name": name, "about": known, "side": side, "says": switch[side]["says"]})
        for section, given in switch[side].items():
            if section != "says":
                values[section] = merged(values.get(section, {}), given)
    return Reading(sides, lines, values)


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, mappings within mappings too."""
    both = {
        key: merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in over.items()
    }
    return base | both
