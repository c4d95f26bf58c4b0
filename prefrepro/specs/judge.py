"""A judge's settings, config/judges/*.yaml.

A key is named here (`api_key_env`), never held.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, Strict, with_config
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from prefrepro.files import show
from prefrepro.specs.files import checked, read_mapping
from prefrepro.specs.problems import Problem, also, expecting, missing, must, problem
from prefrepro.specs.values import CLOSED, Amount, Count, Finite, Seed, Share, Text

TokenLimitField = Literal["max_tokens", "max_completion_tokens"]
TOKEN_LIMIT_FIELDS = get_args(TokenLimitField)
LeftOut = Literal["temperature", "top_p", "seed", "tool_choice"]
Limited = Literal["alpaca_eval", "mt_bench", "arena_hard"]


def _is_endpoint(url: str) -> bool:
    parts = urlsplit(url)  # a ValueError, such as of a bracket that is left open, is a refusal too
    is_plain = url.isprintable() and not parts.username and not parts.query
    return is_plain and parts.scheme in ("http", "https") and bool(parts.hostname)


Url = Annotated[Text, must(_is_endpoint), expecting("http(s)://host/v1 without user, password or query")]
Day = Annotated[Text, must(date.fromisoformat), expecting("a date, YYYY-MM-DD")]
Variable = Annotated[Text, must(str.isidentifier), expecting("an environment variable's name")]
Positive = Annotated[Finite, Field(ge=0.001), expecting("a number > 0")]


@dataclass(config=CLOSED, frozen=True, slots=True)
class Price:
    """USD per million tokens."""

    input: Amount = 0.0
    output: Amount = 0.0


@with_config(CLOSED)
class Repeat(TypedDict):
    """Requests that are asked several times, which tells how much the judge varies by itself (docs/statistics.md)."""

    share: Annotated[Finite, Field(gt=0, le=1), expecting("a share of the requests, above 0 and at most 1")]
    """Which ones follows from a hash of the request."""
    times: Count
    """How often each is asked again."""


def _both(price: Any) -> Any:
    if isinstance(price, dict) and set(price) != {"input", "output"}:
        raise problem(f"found {price!r:.80}, expected {{input: USD, output: USD}}")
    return Price() if price is None else price


@dataclass(config=CLOSED, frozen=True, slots=True)
class JudgeConfig:
    """Who judges, how it is asked, and what it may cost."""

    name: Text
    kind: Literal["local", "api"]
    """"local": a server that prefrepro starts; "api": any OpenAI-compatible endpoint."""
    model: Text
    scorer: Literal["world", "reward-model", "classifier", "length", "longer", "nonsense", "replay"] | None = None
    """What a local judge scores with."""
    weights: Text | None = None
    """The model of scorer `classifier`: a folder or a hub id."""
    revision: Text | None = None
    """Its commit in the hub."""
    base_url: Url | None = None
    api_key_env: Variable | None = None
    """Environment variable that holds the key; none where the endpoint wants no key."""
    api_key_file: Text | None = None
    """In place of api_key_env: a file that holds the key and that nobody else may read (mode 0600)."""
    served_as: Text | None = None
    """What replies call the model, where that is neither its name nor a dated snapshot of it."""
    note: Annotated[str, Strict(), expecting("text")] = ""
    ends: Day | None = None
    """When the model is shut down: planning warns from 90 days before and refuses afterwards (plan/judges.py)."""
    successor: Text | None = None
    """The judge, of config/judges, that takes its place."""
    temperature: Annotated[Finite | None, Field(ge=0, le=2), expecting("a number from 0 to 2")] = 0.0
    """null: never sent. The default is that of compare.py:229-235, as are the next one's and seed's."""
    max_tokens: Count = 10  # compare.py:229-235
    token_limit_field: TokenLimitField = "max_tokens"
    """What the judge calls max_tokens; OpenAI's models from gpt-5 on know max_completion_tokens only."""
    limits: dict[Limited, Count] | None = None
    """Evaluation -> its limit of tokens in place of the release's (MT-Bench 2048, Arena-Hard 4096 or 16,000, and
    of AlpacaEval's text and tool call, 50 to 100), for a judge that thinks first. Pairwise judging has max_tokens."""
    leave_out: tuple[LeftOut, ...] = ()
    """Fields that are never sent, since the judge refuses them."""
    join_messages: Literal["users", "all"] | None = None
    """"users": messages of one role in a row are sent as one; "all": the system message joins the user's, too."""
    reasoning_effort: Text | None = None
    """Sent where given; gpt-5.6 and gpt-6 take tools only with "none" (docs/judging.md#prices)."""
    seed: Seed | None = 0  # compare.py:229-235
    concurrency: Count = 8
    timeout_s: Positive = 60.0
    max_retries: Seed = 6
    reasks: Seed = 2
    """How often an invalid reply is asked again before it counts as invalid."""
    invalid_limit: Share = 0.02
    """Share of invalid verdicts above which the judging fails."""
    repeat: Repeat | None = None
    price_usd_per_mtok: Annotated[Price, BeforeValidator(_both)] = Price()
    budget_usd: Amount | None = None
    requests_per_minute: Positive | None = None

    def limit_of(self, evaluation: str, released: int) -> int:
        """The most tokens of a reply in `evaluation`: of `limits`, else the release's."""
        return next((most for name, most in (self.limits or {}).items() if name == evaluation), released)


WANTED = {"local": ("scorer",), "api": ("base_url", "price_usd_per_mtok")}
FOREIGN = {"local": ("base_url", "api_key_env", "api_key_file"), "api": ("scorer",)}


def _of_kind(judge: dict[str, Any]) -> Iterator[Problem]:
    """What a kind of judge wants, and what belongs to the other kind."""
    kind, given = str(judge.get("kind")), [key for key, value in judge.items() if value is not None]
    yield from missing(given, WANTED.get(kind, ()))
    yield from (((key,), problem(f"does not belong to kind {kind}")) for key in FOREIGN.get(kind, ()) if key in given)
    if (judge.get("scorer") == "classifier") != ("weights" in given):
        yield ("weights",), problem("belongs to scorer classifier, which wants it: a folder or a hub id")
    if judge.get("scorer") == "replay":
        yield ("scorer",), problem("found 'replay', which belongs to `prefrepro calibration` alone")
    if "api_key_env" in given and "api_key_file" in given:
        yield (), problem("api_key_env and api_key_file are both there; expected one of them")


SHAPE = Annotated[JudgeConfig, also(_of_kind)]


def load_judge(path: Path) -> JudgeConfig:
    """Read one config/judges/*.yaml. Raises UserError."""
    return judge_config(read_mapping(path), show(path))


def judge_config(values: Any, where: str) -> JudgeConfig:
    """A mapping as a JudgeConfig. Raises UserError with all problems."""
    return checked(SHAPE, values, where)
