"""What one value of a YAML file may be, as pydantic types that say in words what they expect. Knows no file and no key.

A value stays as it was written (a whole number an int, 1.0 a float): ids of runs are hashed from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict

from prefrepro.errors import nearest
from prefrepro.specs.files import names_in
from prefrepro.specs.method import method_names
from prefrepro.specs.problems import expecting, must, problem
from prefrepro.specs.rules import is_text

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What becomes part of a path"""
CLOSED = ConfigDict(extra="forbid")
READER = "\0"
"""The alias of a field that no file can hold: the reader of the file sets it"""


class Spec(BaseModel):
    """A mapping of a YAML file with known keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _one_of(names: Callable[[], list[str]]) -> AfterValidator:
    """A name of a file that is there."""

    def check(name: str) -> str:
        known = names()
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
ScaleName = Annotated[Text, _one_of(lambda: names_in("scales"))]
ModelName = Annotated[Text, _one_of(lambda: names_in("models"))]
DatasetName = Annotated[Text, _one_of(lambda: names_in("datasets"))]
EmbedderName = Annotated[Text, _one_of(lambda: names_in("embedders"))]
JudgeName = Annotated[Text, _one_of(lambda: names_in("judges"))]
MethodName = Annotated[Text, _one_of(method_names)]
