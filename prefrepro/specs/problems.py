"""How a pydantic type of these files says what is wrong: with a place in the file, in words of our own, all at once."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

from pydantic import AfterValidator, ValidationError, ValidationInfo, WrapValidator
from pydantic_core import InitErrorDetails, PydanticCustomError

Place = tuple[str | int, ...]
"""Keys and list positions that lead from a mapping to one of its values"""
Problem = tuple[Place, PydanticCustomError]


def problem(message: str) -> PydanticCustomError:
    """An error with a message of its own, in place of «found …, expected …»."""
    return PydanticCustomError("problem", "{message}", {"message": message})


def refuse(problems: Iterable[Problem]) -> None:
    """Raise all problems of one value, each with its place within the value; nothing where there is none."""
    if errors := [InitErrorDetails(type=error, loc=place, input=None) for place, error in problems]:
        raise ValidationError.from_exception_data("", errors)


def missing(section: Container[str], names: Iterable[str], *place: str) -> list[Problem]:
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


def expecting(words: str) -> WrapValidator:
    """Whatever is wrong with a value is told as «found …, expected <words>»."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            handler(value)
        except ValidationError:
            raise PydanticCustomError("expected", "{expected}", {"expected": words}) from None
        return value

    return WrapValidator(check)


def _told_with(more: Iterable[Problem], value: Any, handler: Callable[[Any], Any]) -> Any:
    """`value` as its type takes it. Raises its own problems and `more` together."""
    try:
        made = handler(value)
    except ValidationError as error:
        errors: Any = error.errors(include_url=False)
        for one in errors:
            one["type"] = PydanticCustomError(one["type"], one.pop("msg"), one.pop("ctx", None))
        errors += [InitErrorDetails(type=one, loc=place, input=None) for place, one in more]
        raise ValidationError.from_exception_data("", errors) from None
    refuse(more)
    return made


def also(check: Callable[[dict[str, Any]], Iterable[Problem]]) -> WrapValidator:
    """A mapping in which one key says what another must be; reported together with the problems of its keys."""
    return WrapValidator(
        lambda value, handler: _told_with(check(value) if isinstance(value, dict) else (), value, handler)
    )


def among(known: Callable[[ValidationInfo], Iterable[str]]) -> WrapValidator:
    """A mapping whose keys are among known ones; reported together with the problems of its values."""
    return WrapValidator(
        lambda value, handler, info: _told_with(
            unknown(value, known(info)) if isinstance(value, dict) else (), value, handler
        )
    )


def names_of(section: str) -> WrapValidator:
    """A mapping whose keys stand in another section of the same file."""
    return among(lambda info: keys_of_file(info, section))


def must(holds: Callable[[Any], Any]) -> AfterValidator:
    """A value that a predicate accepts."""

    def check(value: Any) -> Any:
        if not holds(value):
            raise ValueError
        return value

    return AfterValidator(check)
