"""What one value of a YAML file may be, as pydantic types; each says in words what it expects. Knows no file and no key.

A value stays as it was written (a whole number an int, 1.0 a float): ids of runs are hashed from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationError
from pydantic import ValidationInfo, WrapValidator
from pydantic_core import InitErrorDetails, PydanticCustomError

from prefrepro.errors import nearest
from prefrepro.specs.files import names_in

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What becomes part of a path."""
CLOSED = ConfigDict(extra="forbid")
Place = tuple[str | int, ...]
"""Keys and list positions that lead from a mapping to one of its values"""


class Spec(BaseModel):
    """A mapping of a YAML file: unknown keys are refused, and null is the same as leaving the key out."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def given(mapping: Any) -> Any:
    """`mapping` without the keys whose value is null."""
    return {key: value for key, value in mapping.items() if value is not None} if isinstance(mapping, dict) else mapping


def problem(said: str) -> PydanticCustomError:
    """An error whose message is `said`, without what was found."""
    return PydanticCustomError("problem", "{said}", {"said": said})


def refuse(problems: Iterable[tuple[Place, PydanticCustomError]]) -> None:
    """Raise all problems of one value, each with its place within the value; nothing where there is none."""
    if errors := [InitErrorDetails(type=error, loc=place, input=None) for place, error in problems]:
        raise ValidationError.from_exception_data("", errors)


def missing(section: Mapping[str, Any], names: Iterable[str], *place: str) -> list[tuple[Place, PydanticCustomError]]:
    """A problem for each of `names` that the mapping at `place` lacks."""
    return [(place, problem(f'"{name}" is missing')) for name in names if name not in section]


def unknown(names: Iterable[str], known: Iterable[str], *place: str) -> list[tuple[Place, PydanticCustomError]]:
    """A problem for each name of the mapping at `place` that is not known."""
    known = list(known)
    return [((*place, one), PydanticCustomError("unknown", "", {"known": known})) for one in names if one not in known]


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


def _is_sayable(text: str) -> str:
    """More than blanks, no NUL, and such as UTF-8 can hold."""
    if not text.strip() or "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(text)
    return text


def _file_of(folder: str) -> AfterValidator:
    """A name that config/<folder>/ defines."""

    def check(name: str) -> str:
        known = names_in(folder)
        if name not in known:
            raise problem(f'"{name:.80}" is unknown. Known: {", ".join(known)}.{nearest(name, known)}')
        return name

    return AfterValidator(check)


Flag = Annotated[bool, Strict(), expecting("true or false")]
Whole = Annotated[int, Strict(), Field(lt=2**63)]
Count = Annotated[Whole, Field(ge=1), expecting("a whole number of at least 1")]
Seed = Annotated[Whole, Field(ge=0), expecting("a whole number of at least 0")]
Finite = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Number = Annotated[Finite, Field(gt=0), expecting("a number above 0")]
Amount = Annotated[Finite, Field(ge=0), expecting("a number of at least 0")]
Share = Annotated[Finite, Field(ge=0, le=1), expecting("a share from 0 to 1")]
Text = Annotated[str, Strict(), AfterValidator(_is_sayable), expecting("text")]
Texts = Annotated[list[Text], Field(min_length=1), expecting("a list of texts")]
Paths = Annotated[Text | Texts, expecting("a path, or a list of paths")]
Key = Annotated[str, Field(pattern=rf"^{NAME.pattern}$"), expecting("letters, digits, . _ and -")]
ScaleName = Annotated[Text, _file_of("scales")]
ModelName = Annotated[Text, _file_of("models")]
DatasetName = Annotated[Text, _file_of("datasets")]
EmbedderName = Annotated[Text, _file_of("embedders")]
JudgeName = Annotated[Text, _file_of("judges")]
Filled = BeforeValidator(given)
