"""The judge's prompts, and the way back: what a judge is shown and what a local judge reads out of it.

Both directions follow the same text files in prompts/, so they cannot drift apart. The wording is that of
Appendix H of the RPO paper and of compare.py:114-130, 155-183 (PROTOCOL.md §1.9); `robust` differs in its
last sentence only.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from prefrepro.errors import UserError

FOLDER = Path(__file__).parent / "prompts"
TEMPLATES = ("dialogue", "summarization")
PROTOCOLS = ("paper", "robust")
NOUNS = {"dialogue": "Response", "summarization": "Summary"}
NEXT_MESSAGE = "\n=== next message ===\n"


class UnreadablePromptError(ValueError):
    """Messages that can be read in two ways, or not at all."""


class UnknownPromptError(UnreadablePromptError):
    """Messages that no prompt file can have made."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a judge sees, read back from its messages."""

    template: str
    protocol: str
    history: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class _Layout:
    """One prompt file, cut at its three holes."""

    before_history: str
    after_history: str
    before_first: str
    between: str
    after_second: str
    sha256: str


@cache
def _layout(template: str, protocol: str) -> _Layout:
    if template not in TEMPLATES or protocol not in PROTOCOLS:
        raise UserError(
            f'judge prompt "{template}" for protocol "{protocol}" is unknown. '
            f"Known templates: {', '.join(TEMPLATES)}; protocols: {', '.join(PROTOCOLS)}."
        )
    raw = (FOLDER / f"{template}-{protocol}.txt").read_bytes()
    text = raw.decode("utf-8").removesuffix("\n")
    one, two = text.split(NEXT_MESSAGE)
    before_history, after_history = one.split("{history}")
    before_first, between, after_second = re.split(r"\{first\}|\{second\}", two)
    digest = hashlib.sha256(raw).hexdigest()
    return _Layout(before_history, after_history, before_first, between, after_second, digest)


def prompt_sha256(template: str, protocol: str) -> str:
    """Hex SHA-256 of the prompt file."""
    return _layout(template, protocol).sha256


def compose(template: str, protocol: str, history: str, first: str, second: str) -> list[dict[str, str]]:
    """Two user messages that show `history`, its outer blanks cut (compare.py:115), and two answers."""
    layout = _layout(template, protocol)
    opening = layout.before_history + history.strip() + layout.after_history
    question = layout.before_first + first + layout.between + second + layout.after_second
    return [{"role": "user", "content": opening}, {"role": "user", "content": question}]


def parse_back(messages: list[dict[str, str]]) -> Shown:
    """The inverse of `compose`, history without its outer blanks.

    An answer that itself holds the text between the two («END OF RESPONSE 1 … Response 2: ») can be read in
    two ways: then UnreadablePromptError is raised, for any other messages UnknownPromptError: never a guess.
    """
    contents = [message.get("content") for message in messages]
    if len(contents) != 2 or not all(isinstance(content, str) for content in contents):
        raise UnknownPromptError(f"found {len(contents)} messages, expected two with text")
    opening, question = (str(content) for content in contents)
    for template in TEMPLATES:
        for protocol in PROTOCOLS:
            layout = _layout(template, protocol)
            history = _inside(opening, layout.before_history, layout.after_history)
            answers = _inside(question, layout.before_first, layout.after_second)
            if history is None or answers is None:
                continue
            parts = answers.split(layout.between)
            if len(parts) != 2:
                raise UnreadablePromptError(
                    f"found {layout.between!r} {len(parts) - 1} times between the answers, expected once"
                )
            return Shown(template, protocol, history, *parts)
    known = ", ".join(f"{template}-{protocol}" for template in TEMPLATES for protocol in PROTOCOLS)
    raise UnknownPromptError(f"the messages fit none of the prompts {known}")


def _inside(text: str, before: str, after: str) -> str | None:
    fits = len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)
    return text[len(before) : len(text) - len(after)] if fits else None
