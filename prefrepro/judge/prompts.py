"""The judge's prompts, and the way back: what a judge is shown and what a local judge reads out of it.

Both directions follow the same text files in prompts/, so they cannot drift apart. The wording of `paper` is that of
Appendix H of the RPO paper and of compare.py:114-130, 155-183 (docs/judging.md#judge). `robust` asks the same, names
the three answers that it takes, and fences each text: the fence is a hash of all texts, so that none of them can hold
it, and what an answer says of itself, or to the judge, stands inside.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from prefrepro.errors import UserError

FOLDER = Path(__file__).parent / "prompts"
TEMPLATES = ("dialogue", "summarization")
PROTOCOLS = ("paper", "robust")
NOUNS = {"dialogue": "Response", "summarization": "Summary"}
FENCE = re.compile(r"<(text-[0-9a-f]{12})>")
"""What opens a fenced text."""
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


@cache
def _prompt_file(template: str, protocol: str) -> tuple[str, str]:
    """Its text and hex SHA-256. Raises UserError where it is unknown."""
    if template not in TEMPLATES or protocol not in PROTOCOLS:
        raise UserError(
            f'judge prompt "{template}" for protocol "{protocol}" is unknown. '
            f"Known templates: {', '.join(TEMPLATES)}; protocols: {', '.join(PROTOCOLS)}."
        )
    raw = (FOLDER / f"{template}-{protocol}.txt").read_bytes()
    return raw.decode("utf-8").removesuffix("\n"), hashlib.sha256(raw).hexdigest()


def _layout(template: str, protocol: str, fence: str) -> list[str]:
    """What stands before and after the history, before the first answer, between the two, and after the second."""
    text, _ = _prompt_file(template, protocol)
    opening, question = text.replace("{fence}", fence).split(NEXT_MESSAGE)
    return opening.split("{history}") + re.split(r"\{first\}|\{second\}", question)


def prompt_sha256(template: str, protocol: str) -> str:
    """Hex SHA-256 of the prompt file."""
    return _prompt_file(template, protocol)[1]


def compose(template: str, protocol: str, history: str, first: str, second: str) -> list[dict[str, str]]:
    """Two user messages that show `history`, its outer blanks cut (compare.py:115), and two answers."""
    parts = _layout(template, protocol, _fence(history, first, second))
    before_history, after_history, before_first, between, after_second = parts
    opening = before_history + history.strip() + after_history
    question = before_first + first + between + second + after_second
    return [{"role": "user", "content": opening}, {"role": "user", "content": question}]


def _fence(*texts: str) -> str:
    """A mark that none of the texts holds; the same for the same texts, so that a reply is cached."""
    asked = (json.dumps([number, *texts], ensure_ascii=False) for number in itertools.count())
    marks = (f"text-{hashlib.sha256(one.encode()).hexdigest()[:12]}" for one in asked)
    return next(mark for mark in marks if not any(mark in text for text in texts))


def parse_back(messages: list[dict[str, str]]) -> Shown:
    """The inverse of `compose`, history without its outer blanks.

    Under `paper` an answer that itself holds the text between the two («END OF RESPONSE 1 … Response 2: ») can be read
    in two ways: then UnreadablePromptError is raised, for any other messages UnknownPromptError: never a guess.
    """
    contents = [message.get("content") for message in messages]
    if len(contents) != 2 or not all(isinstance(content, str) for content in contents):
        raise UnknownPromptError(f"found {len(contents)} messages, expected two with text")
    opening, question = (str(content) for content in contents)
    fence = FENCE.search(opening)
    for template in TEMPLATES:
        for protocol in PROTOCOLS:
            parts = _layout(template, protocol, fence.group(1) if fence else "")
            before_history, after_history, before_first, between, after_second = parts
            history = _inside(opening, before_history, after_history)
            answers = _inside(question, before_first, after_second)
            if history is None or answers is None:
                continue
            parts = answers.split(between)
            if len(parts) != 2:
                raise UnreadablePromptError(
                    f"found {between!r} {len(parts) - 1} times between the answers, expected once"
                )
            return Shown(template, protocol, history, *parts)
    known = ", ".join(f"{template}-{protocol}" for template in TEMPLATES for protocol in PROTOCOLS)
    raise UnknownPromptError(f"the messages fit none of the prompts {known}")


def _inside(text: str, before: str, after: str) -> str | None:
    fits = len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)
    return text[len(before) : len(text) - len(after)] if fits else None
