"""Single-turn dialogues of the embedded world: questions, and answers that differ in quality.

Faults are drawn here at fixed rates, and graded in reward.py from the text alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from prefrepro.data.world.lexicon import Fact, facts, words


@dataclass(frozen=True, slots=True)
class FaultRates:
    """How often a written response has which property. docs/embedded-world.md says how they were fixed."""

    right: float = 0.55
    wrong: float = 0.25
    foreign: float = 0.12
    """Advice on another topic. What is left of 1 gives no answer at all."""
    opener: float = 0.6
    closer: float = 0.55
    reason: float = 0.4
    rude: float = 0.08
    overlong: float = 0.1
    """Two to four further sentences, most of them off the point."""
    repeat: float = 0.08
    """The answer is said two to four times, or its last word goes on."""
    unfinished: float = 0.04


def write_prompt(rng: random.Random) -> tuple[Fact, str]:
    """A question: which fact it asks for, and its wording."""
    fact = rng.choice(facts())
    return fact, write_question(fact, rng)


def write_question(fact: Fact, rng: random.Random) -> str:
    """A question for a fact."""
    talk = words()["dialogue"]
    return rng.choice(talk["prefixes"]) + rng.choice(fact.asks) + rng.choice(talk["suffixes"])


def _other(fact: Fact, rng: random.Random) -> Fact:
    while True:
        other = rng.choice(facts())
        if other.topic != fact.topic:
            return other


def write_response(fact: Fact, rng: random.Random, rates: FaultRates = FaultRates()) -> str:
    """One response to a question about `fact`, each property drawn on its own."""
    talk = words()["dialogue"]
    sentences = []
    if rng.random() < rates.opener:
        sentences.append(rng.choice(talk["openers"]))
    if rng.random() < rates.rude:
        sentences.append(rng.choice(talk["rude"]))
    kind = rng.random()
    if kind < rates.right:
        answer = [fact.right]
    elif kind < rates.right + rates.wrong:
        answer = [rng.choice(fact.wrong)]
    elif kind < rates.right + rates.wrong + rates.foreign:
        other = _other(fact, rng)
        answer = [rng.choice((other.right, *other.wrong))]
    else:
        answer = []
    sentences += answer
    if rng.random() < rates.reason:
        sentences.append(rng.choice(fact.reasons))
    if answer and rng.random() < rates.repeat:
        if rng.random() < 0.5:
            sentences += answer * rng.randint(1, 3)
        else:
            last = answer[0].rstrip(".").split()[-1]
            sentences.append(" ".join([last.capitalize()] + [last] * rng.randint(3, 10)) + ".")
    if rng.random() < rates.overlong:
        for _ in range(rng.randint(2, 4)):
            other = rng.choice((fact, _other(fact, rng)))
            sentences.append(rng.choice((*other.reasons, *talk["openers"], *talk["closers"])))
    if rng.random() < rates.closer or not sentences:
        sentences.append(rng.choice(talk["closers"]))
    text = " ".join(sentences)
    if rng.random() < rates.unfinished:
        text = " ".join(text.split()[: -rng.randint(1, 3)])
    return text or sentences[0]
