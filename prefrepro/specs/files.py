"""YAML files as people write them: read whole, checked against a shape, and all problems reported together.

Knows what no key of them means.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, show
from prefrepro.specs.yaml_loader import composed, load_yaml

WORDS = {"dict_type": "a mapping", "model_type": "a mapping", "dataclass_type": "a mapping", "list_type": "a list"}
"""What pydantic expects, by its kind of error, where its own words are Python's"""


def report(problems: list[str]) -> None:
    """Raise one UserError that lists every problem once; nothing where there is none."""
    problems = list(dict.fromkeys(problems))
    if len(problems) == 1:
        raise UserError(problems[0])
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise UserError(f"{len(problems)} problems:\n{listed}", problems)


@contextlib.contextmanager
def collecting(problems: list[str]) -> Iterator[None]:
    """Add the problems of a UserError to the list instead of raising it."""
    try:
        yield
    except UserError as error:
        problems += error.problems


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


def names_in(folder: str) -> list[str]:
    """The names that config/<folder>/ defines, one file each."""
    files = os.listdir(ROOT / "config" / folder)  # noqa: PTH208 (a Path for each name costs more)
    return sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))


_adapter = cache(TypeAdapter)


def checked(shape: Any, value: Any, where: str) -> Any:
    """`value`, the content of the file `where`, as a `shape`: a pydantic model or a TypedDict.

    Raises UserError with every problem: file, line, key path, what was found, what is expected, the nearest known name.
    """
    try:
        return _adapter(shape).validate_python(value, context=value)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    return report([_told(problem, shape, where) for problem in problems])


def _told(error: Any, shape: Any, where: str) -> str:
    place = tuple(part for part in error["loc"] if part != "[key]")
    kind, path, context = error["type"], place, error.get("ctx", {})
    if kind in ("extra_forbidden", "unexpected_keyword_argument", "unknown"):
        path, known = place[:-1], context.get("known") or _known(shape, place[:-1])
        said = f'"{place[-1]!s:.80}" is unknown. Known: {", ".join(known)}.{nearest(place[-1], known)}'
    elif kind == "missing":
        place = path = place[:-1]
        said = f'"{error["loc"][-1]}" is missing'
    elif kind == "problem":
        said = error["msg"]
    else:
        words = WORDS.get(kind) or context.get("expected") or error["msg"].removeprefix("Input should be ")
        said = f"found {error['input']!r:.80}, expected {words}"
        if kind == "literal_error":
            said = said.replace(f"expected {words}", f"expected {words.replace(chr(39), '')}")
            said += nearest(error["input"], re.findall(r"'(.*?)'", words)).replace(" Did", ". Did")
    line = line_of(ROOT / where, place) if where.endswith(".yaml") else None
    at = [where, f"line {line}" if line else "", ".".join(f"{part!s:.80}" for part in path)]
    return f"{(' ' if where.startswith('--') else ', ').join(filter(None, at))}: {said}"


def _known(shape: Any, place: Sequence[str | int]) -> list[str]:
    """The keys that a mapping at `place` in a `shape` may have."""
    for part in place:
        shape = _bare(shape)
        inner = getattr(shape, "__extra_items__", None) if _fields(shape) else get_args(shape)[-1]
        shape = _fields(shape).get(str(part), inner)
    return list(_fields(_bare(shape)))


def _bare(shape: Any) -> Any:
    while get_origin(shape) in (Annotated, Union, UnionType):
        shape = get_args(shape)[0]
    return shape


def _fields(shape: Any) -> dict[str, Any]:
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        return {name: field.annotation for name, field in shape.model_fields.items() if not field.validation_alias}
    return get_type_hints(shape) if is_typeddict(shape) or is_dataclass(shape) else {}


_nodes = lru_cache(8)(composed)


def line_of(path: Path, place: Sequence[Any]) -> int | None:
    """The line of a YAML file, from 1, where what stands at `place` begins, or where it would; None: no file."""
    node = _nodes(path.read_text(encoding="utf-8")) if path.is_file() else None
    if node is None:
        return None
    line = node.start_mark.line
    for part in place:
        pairs = {key.value: (key, value) for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}
        if isinstance(node, yaml.SequenceNode):
            pairs = {number: (value, value) for number, value in enumerate(node.value)}
        if part not in pairs:
            break
        line, node = pairs[part][0].start_mark.line, pairs[part][1]
    return line + 1
