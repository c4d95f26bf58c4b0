"""Question sets of the embedded world, in the form of MT-Bench, Arena-Hard and AlpacaEval.

Each is a function of (seed, n), with every prompt once; a longer set begins with the shorter one. The answers that
models are held against are drawn from the world at a stated quality. The prompts are those of the dialogue world, so
`is_held_out` must keep what the models were trained on away.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from prefrepro.data.benchmarks import REFERENCE_CATEGORIES, TEMPERATURES
from prefrepro.data.template import prompt_id, render_history
from prefrepro.data.world.dialogue import write_question, write_response
from prefrepro.data.world.lexicon import Fact, facts, words
from prefrepro.data.world.reward import reward
from prefrepro.errors import UserError

HeldOut = Callable[[str], bool]
"""Whether a prompt id may be asked."""
STANDS_FOR = {
    "gardening": "writing",
    "cooking": "stem",
    "pets": "humanities",
    "computers": "coding",
    "travel": "roleplay",
    "health": "reasoning",
    "money": "math",
    "refusals": "extraction",
}
"""A domain plays the part of an MT-Bench category: its answers' temperature, and whether a reference is shown."""
STRONG_DRAWS = 8
"""A strong answer is the best of so many by the reward."""
BASELINE_DRAWS = 2


class _Asked(NamedTuple):
    prompt: list[dict[str, str]]
    fact: Fact

    @property
    def prompt_id(self) -> str:
        return prompt_id(self.prompt)


def mt_bench_questions(seed: int, n: int, is_held_out: HeldOut = lambda _: True) -> list[dict[str, Any]]:
    """{prompt_id, prompt, turns, category, reference_answers, temperature}: two questions about one topic.

    `category` is the domain. Where it stands for math, reasoning or coding the reference answers are the right ones.
    """
    rows = []
    for asked, rng in _take("mt_bench", seed, n, is_held_out):
        others = [fact for fact in facts() if fact.topic == asked.fact.topic and fact != asked.fact]
        second = rng.choice(others)
        category = STANDS_FOR[asked.fact.domain]
        rows.append(
            {
                "prompt_id": asked.prompt_id,
                "prompt": asked.prompt,
                "turns": [asked.prompt[0]["content"], write_question(second, rng)],
                "category": asked.fact.domain,
                "reference_answers": [asked.fact.right, second.right] if category in REFERENCE_CATEGORIES else None,
                "temperature": TEMPERATURES[category],
            }
        )
    return rows


def arena_questions(seed: int, n: int, is_held_out: HeldOut = lambda _: True) -> list[dict[str, Any]]:
    """{prompt_id, prompt, category, references: {"gpt-4-0314": the better of two draws}}; `category` is the topic."""
    return [
        _single(asked, {"gpt-4-0314": _best_of(BASELINE_DRAWS, asked, rng)})
        for asked, rng in _take("arena", seed, n, is_held_out)
    ]


def instruction_set(seed: int, n: int, is_held_out: HeldOut = lambda _: True) -> list[dict[str, Any]]:
    """{prompt_id, prompt, instruction, category, references} in the form of AlpacaEval.

    References: `gpt4_turbo` the best of eight draws, `davinci003` one draw, another text than the first.
    """
    rows = []
    for asked, rng in _take("instructions", seed, n, is_held_out):
        strong = _best_of(STRONG_DRAWS, asked, rng)
        weak = next(text for text in _answers(asked.fact, rng) if text != strong)
        row = _single(asked, {"gpt4_turbo": strong, "davinci003": weak})
        rows.append(row | {"instruction": asked.prompt[0]["content"]})
    return rows


def _take(name: str, seed: int, n: int, is_held_out: HeldOut) -> Iterator[tuple[_Asked, random.Random]]:
    """n prompts, each with a generator of its own, so that what is drawn for one depends on no other."""
    talk = words()["dialogue"]
    every = [
        (fact, before + ask + after)
        for fact in facts()
        for before, ask, after in itertools.product(talk["prefixes"], fact.asks, talk["suffixes"])
    ]
    random.Random(f"{name}/{seed}").shuffle(every)
    asked = (_Asked([{"role": "user", "content": content}], fact) for fact, content in every)
    taken = list(itertools.islice((one for one in asked if is_held_out(one.prompt_id)), n))
    if len(taken) < n:
        raise UserError(
            f"{n} questions are wanted, the embedded world has {len(taken)} that are held out (of {len(every)}). "
            "Next: ask for fewer, or hold out a larger part."
        )
    for one in taken:
        yield one, random.Random(f"{name}/{seed}/{one.prompt_id}")


def _single(asked: _Asked, references: dict[str, str]) -> dict[str, Any]:
    row = {"prompt_id": asked.prompt_id, "prompt": asked.prompt}
    return row | {"category": asked.fact.topic, "references": references}


def _answers(fact: Fact, rng: random.Random) -> Iterator[str]:
    while True:
        yield write_response(fact, rng)


def _best_of(draws: int, asked: _Asked, rng: random.Random) -> str:
    history = render_history(asked.prompt)
    return max(itertools.islice(_answers(asked.fact, rng), draws), key=lambda text: reward(history, text))
