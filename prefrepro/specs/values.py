"""What one value of a YAML file may be, as pydantic types that say in words what they expect. Knows no file and no key.

A value stays as it was written (a whole number an int, 1.0 a float): ids of runs are hashed from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    WrapValidator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from prefrepro.errors import nearest
from prefrepro.specs.files import names_in
from prefrepro.specs.rules import is_text

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What becomes part of a path"""
CLOSED = ConfigDict(extra="forbid")
Place = tuple[str | int, ...]
"""Keys and list positions that lead from a mapping to one of its values"""
Problem = tuple[Place, PydanticCustomError]
READER = "\0"
"""The alias of a field that no file can hold: whoever reads the file sets it"""


class Spec(BaseModel):
    """A mapping of a YAML file with known keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def problem(message: str) -> PydanticCustomError:
    """An error with a message of its own, in place of «found …, expected …»."""
    return PydanticCustomError("problem", "{message}", {"message": message})


def refuse(problems: Iterable[Problem]) -> None:
    """Raise all problems of one value, each with its place within the value; nothing where there is none."""
    if errors := [InitErrorDetails(type=error, loc=place, input=None) for place, error in problems]:
        raise ValidationError.from_exception_data("", errors)


def missing(section: Mapping[str, Any], names: Iterable[str], *place: str) -> list[Problem]:
    """A problem for each of `names` that the mapping at `place` lacks."""
    return [(place, problem(f'"{name}" is missing')) for name in names if name not in section]


def unknown(names: Iterable[str], known: Iterable[str], *place: str) -> list[Problem]:
    """A problem for each name of the mapping at `place` that is not known."""
    error = PydanticCustomError("unknown", "", {"known": list(known)})
    return [((*place, one), error) for one in names if one not in list(known)]


def keys_of_file(info: ValidationInfo, section: str) -> list[str]:
    """The keys of a section of the whole file; none where it is no mapping, which is told there."""
    found = info.context.get(section) if isinstance(info.context, dict) else None
    return list(found) if isinstance(found, dict) else []


def names_of(section: str) -> AfterValidator:
    """A mapping whose keys stand in another section of the same file."""

    def check(value: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        refuse(unknown(value, keys_of_file(info, section)))
        return value

    return AfterValidator(check)


def expecting(words: str) -> WrapValidator:
    """Whatever is wrong with a value is told as «found …, expected <words>»."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            handler(value)
        except ValidationError:
            raise PydanticCustomError("expected", "{expected}", {"expected": words}) from None
        return value

    return WrapValidator(check)


def also(check: Callable[[dict[str, Any]], Iterable[Problem]]) -> WrapValidator:
    """A mapping in which one key says what another must be: these problems are told together with those of its keys."""

    def run(value: Any, handler: Callable[[Any], Any]) -> Any:
        more, made = list(check(value)) if isinstance(value, dict) else [], None
        try:
            made = handler(value)
        except ValidationError as error:
            own = error.errors(include_url=False)
            errors = [(e, PydanticCustomError(e["type"], e["msg"], e.get("ctx"))) for e in own]  # pyright: ignore
            raise ValidationError.from_exception_data(
                "",
                [
                    *(InitErrorDetails(type=custom, loc=e["loc"], input=e["input"]) for e, custom in errors),
                    *(InitErrorDetails(type=custom, loc=place, input=None) for place, custom in more),
                ],
            ) from None
        refuse(more)
        return made

    return WrapValidator(run)


def must(holds: Callable[[Any], Any]) -> AfterValidator:
    """A value that a predicate accepts."""

    def check(value: Any) -> Any:
        if not holds(value):
            raise ValueError
        return value

    return AfterValidator(check)


def _file_of(folder: str) -> AfterValidator:
    """A name that config/<folder>/ defines."""

    def check(name: str) -> str:
        known = names_in(folder)
        if name not in known:
            raise problem(f'"{name:.80}" is unknown. Known: {", ".join(known)}.{nearest(name, known)}')
        return name

    return AfterValidator(check)


def _stated(mapping: Any) -> Any:
    """`mapping` without the keys that hold nothing."""
    is_mapping = isinstance(mapping, dict)
    return {key: value for key, value in mapping.items() if value not in (None, "", [])} if is_mapping else mapping


Stated = BeforeValidator(_stated)
Flag = Annotated[bool, Strict(), expecting("true or false")]
Whole = Annotated[int, Strict(), Field(lt=2**63)]
Count = Annotated[Whole, Field(ge=1), expecting("a whole number of at least 1")]
Seed = Annotated[Whole, Field(ge=0), expecting("a whole number of at least 0")]
Finite = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Number = Annotated[Finite, Field(gt=0), expecting("a number above 0")]
Amount = Annotated[Finite, Field(ge=0), expecting("a number of at least 0")]
Share = Annotated[Finite, Field(ge=0, le=1), expecting("a share from 0 to 1")]
Text = Annotated[str, Strict(), must(is_text), expecting("text")]
Texts = Annotated[list[Text], Field(min_length=1), expecting("a list of texts")]
Key = Annotated[Text, must(NAME.fullmatch), expecting("a name of letters, digits, . _ and -")]
ScaleName = Annotated[Text, _file_of("scales")]
ModelName = Annotated[Text, _file_of("models")]
DatasetName = Annotated[Text, _file_of("datasets")]
EmbedderName = Annotated[Text, _file_of("embedders")]
JudgeName = Annotated[Text, _file_of("judges")]
