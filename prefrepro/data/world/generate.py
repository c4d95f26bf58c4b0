"""Streams of rows of the embedded world: plain texts, preference pairs, groups of scored responses.

Everything is a function of (task, seed): the same call gives the same rows, row by row, in bounded memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from prefrepro.data.template import Message, render_history
from prefrepro.data.world import dialogue, summary
from prefrepro.data.world.reward import preference_probability, reward

Prompt = list[Message]
GROUP = 4


def _dialogue(rng: random.Random) -> tuple[Prompt, Callable[[], str]]:
    fact, question = dialogue.write_prompt(rng)
    return [{"role": "user", "content": question}], lambda: dialogue.write_response(fact, rng)


def _summary(rng: random.Random) -> tuple[Prompt, Callable[[], str]]:
    post = summary.draw_post(rng)
    return [{"role": "user", "content": summary.write_post(post, rng)}], lambda: summary.write_summary(post, rng)


TASKS: dict[str, Callable[[random.Random], tuple[Prompt, Callable[[], str]]]] = {
    "dialogue": _dialogue,
    "summary": _summary,
}


def preference_pairs(task: str, seed: int, temperature: float = 1.0) -> Iterator[dict[str, Any]]:
    """Endless pairs {prompt, chosen, rejected}: two responses, labelled by a Bradley–Terry draw from the reward."""
    rng = random.Random(f"{task}/pairs/{seed}")
    while True:
        prompt, write = TASKS[task](rng)
        first, second = write(), write()
        if first == second:
            continue
        history = render_history(prompt)
        p = preference_probability(reward(history, first), reward(history, second), temperature)
        chosen, rejected = (first, second) if rng.random() < p else (second, first)
        yield {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def ranked_groups(task: str, seed: int, noise: float = 0.7) -> Iterator[dict[str, Any]]:
    """Endless groups {prompt, completions, scores}: four responses, whole scores from 0 to 10, as in UltraFeedback."""
    rng = random.Random(f"{task}/ranked/{seed}")
    while True:
        prompt, write = TASKS[task](rng)
        completions = [write() for _ in range(GROUP)]
        history = render_history(prompt)
        noisy = [6 + 1.5 * (reward(history, text) + rng.gauss(0, noise)) for text in completions]
        yield {
            "prompt": prompt,
            "completions": completions,
            "scores": [float(min(10, max(0, round(s)))) for s in noisy],
        }


def documents(task: str, seed: int) -> Iterator[dict[str, Any]]:
    """Endless unlabelled texts {prompt, completion} of every quality, to pre-train a base model on."""
    rng = random.Random(f"{task}/documents/{seed}")
    while True:
        prompt, write = TASKS[task](rng)
        yield {"prompt": prompt, "completion": write()}
