"""YAML that can be read in one way only: text, numbers, true and false, lists, and mappings with text as keys.

Refused, each with its line: a key that is there twice, a key that is no text, anchors, aliases, tags, and nesting
without end. As in YAML 1.2, and unlike PyYAML, 1e-5 is a number, and 012, 1:30, yes and 2026-11-21 are text.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

DEEPEST = 50
"""Levels of nesting; libyaml's own limit is where the process dies."""
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where PyYAML has it, is ten times as fast
_TEXT = "tag:yaml.org,2002:str"


class _Loader(_BASE):
    """Values as YAML 1.2 reads them; keys once each, and text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT:
                found = repr(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                problem = f"found the key {found:.60}, expected text; write it in quotes"
            elif key.value in seen:
                problem = f"found the key {key.value!r:.60} a second time"
            else:
                seen.add(key.value)
                continue
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]{0,17})", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]{1,3})?)|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), list(_first))


def load_yaml(text: str) -> Any:
    """The value that `text` holds. Raises yaml.YAMLError, which names the line."""
    _check(text)
    return yaml.load(text, _Loader)


def composed(text: str) -> Any:
    """The nodes of a text that load_yaml accepts: each has its line, and a mapping's keys stand in its value."""
    return yaml.compose(text, _BASE)


def _check(text: str) -> None:
    """Raise where the document nests without end or says anything in another way than outright."""
    depth = 0
    for event in yaml.parse(text, Loader=_BASE):
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            depth += 1
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            depth -= 1
        if not isinstance(event, NodeEvent):
            continue
        problem = None
        if depth > DEEPEST:
            problem = f"found more than {DEEPEST} levels of nesting"
        elif isinstance(event, AliasEvent) or event.anchor is not None:
            problem = f"found the anchor or alias {event.anchor!r:.60}; write the value out"
        elif isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent) and event.tag is not None:
            problem = f"found the tag {event.tag!r:.60}; write a plain value"
        if problem is not None:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
