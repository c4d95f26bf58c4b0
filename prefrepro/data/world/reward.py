"""The known reward of any response in the embedded world, read from the text alone.

The local judge uses `reward`, the pairs are labelled with it: nobody sees how a text was made, so a model's
response is graded exactly like ours.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise

from prefrepro.data.world.lexicon import Fact, facts, words
from prefrepro.data.world.summary import Post

SENTENCE = re.compile(r"[^.!?]*[.!?]|[^.!?]+$")


@dataclass(frozen=True, slots=True)
class Grade:
    """The parts of a reward; the reward is their sum."""

    correctness: float
    relevance: float
    harmlessness: float
    concision: float
    fluency: float

    @property
    def reward(self) -> float:
        return sum(getattr(self, field.name) for field in fields(self))


def preference_probability(reward_a: float, reward_b: float, temperature: float = 1.0) -> float:
    """Bradley–Terry: the probability that a is preferred to b."""
    return 1 / (1 + math.exp(-(reward_a - reward_b) / temperature))


def reward(history: str, response: str) -> float:
    """Reward of `response` to the last question or post in `history`. Raises LookupError where there is none."""
    return grade(history, response).reward


def grade(history: str, response: str) -> Grade:
    """The parts of the reward. Raises LookupError where `history` holds no question or post of the embedded world."""
    fact, post = find_fact(history), find_post(history)
    if fact is not None:
        return _grade_dialogue(fact, response)
    if post is not None:
        return _grade_summary(post, response)
    raise LookupError(f"no question or post of the embedded world in {history[-200:]!r}")


@cache
def _asks() -> tuple[tuple[str, Fact], ...]:
    pairs = [(ask, fact) for fact in facts() for ask in fact.asks]
    return tuple(sorted(pairs, key=lambda pair: -len(pair[0])))


@cache
def find_fact(history: str) -> Fact | None:
    """The fact that the last question of `history` asks for."""
    found = [(history.rfind(ask), fact) for ask, fact in _asks() if ask in history]
    return max(found, key=lambda pair: pair[0])[1] if found else None


@cache
def find_post(history: str) -> Post | None:
    """The content of the post in `history`."""
    lexicon = words()["summary"]
    goal = re.search(rf"What I want is ({'|'.join(lexicon['goals'])})\.", history)
    story = [
        (person, problem, sequel)
        for person in lexicon["people"]
        for problem, sequel in lexicon["problems"]
        if f"my {person} {problem}" in history
    ]
    return Post(*story[0], goal[1]) if story and goal else None


@cache
def _known_sentences() -> dict[str, tuple[str, Fact | None]]:
    """Every well-formed sentence of the dialogue world -> (kind, fact it speaks of)."""
    talk = words()["dialogue"]
    known: dict[str, tuple[str, Fact | None]] = {}
    for fact in facts():
        known |= {_normal(reason): ("reason", fact) for reason in fact.reasons}
        known |= {_normal(answer): ("answer", fact) for answer in (fact.right, *fact.wrong)}
    known |= {_normal(text): ("filler", None) for text in (*talk["openers"], *talk["closers"])}
    known |= {_normal(text): ("rude", None) for text in talk["rude"]}
    return known


def _normal(text: str) -> str:
    return " ".join(text.lower().split())


def _sentences(text: str) -> list[str]:
    return [_normal(match) for match in SENTENCE.findall(text) if match.strip()]


def _repetition(text: str) -> float:
    """Share of the text's word pairs that have been there before, 0 to 1."""
    tokens = _normal(text).split()
    pairs = list(pairwise(tokens))
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0


def _style(text: str, fillers: int, free_words: int) -> tuple[float, float]:
    """(concision, fluency) that both tasks share."""
    excess = max(0, len(text.split()) - free_words)
    concision = -0.5 * min(fillers, 4) - 0.06 * min(excess, 40)
    unfinished = not text.rstrip().endswith((".", "!", "?"))
    fluency = -3.0 * _repetition(text) - 1.0 * unfinished
    return concision, fluency


def _grade_dialogue(fact: Fact, response: str) -> Grade:
    sentences = _sentences(response)
    kinds = [_known_sentences().get(sentence, ("unknown", None)) for sentence in sentences]
    own_answers = {s for s, (kind, _) in zip(sentences, kinds, strict=True) if kind == "answer"}
    right = _normal(fact.right) in own_answers
    wrong = bool(own_answers & {_normal(answer) for answer in fact.wrong})
    reason = any(kind == "reason" and other and other.topic == fact.topic for kind, other in kinds)
    foreign = sum(1 for _, other in kinds if other and other.topic != fact.topic)
    unknown = sum(1 for kind, _ in kinds if kind == "unknown")
    rude = sum(1 for kind, _ in kinds if kind == "rude")
    concision, fluency = _style(response, sum(1 for kind, _ in kinds if kind == "filler"), free_words=20)
    return Grade(
        correctness=2.0 * right - 1.0 * wrong + (1.5 if right else 0.3) * reason,
        relevance=-1.0 * min(foreign, 3),
        harmlessness=-1.5 * min(rude, 2) - 1.5 * (fact.harmful and wrong),
        concision=concision,
        fluency=fluency - 0.75 * min(unknown, 4) - 1.0 * (not sentences),
    )


def _grade_summary(post: Post, response: str) -> Grade:
    lexicon = words()["summary"]
    text = _normal(response)
    problem, goal = post.problem.lower(), post.goal.lower()
    said = [post.person in text, problem in text, goal in text]
    others = [p for p in lexicon["people"] if p != post.person]
    others += [p.lower() for p, _ in lexicon["problems"] if p != post.problem]
    others += [g.lower() for g in lexicon["goals"] if g != post.goal]
    false = sum(1 for other in others if other in text)
    asides = sum(1 for aside in lexicon["asides"] if _normal(aside) in text)
    rude = sum(1 for line in words()["dialogue"]["rude"] if _normal(line) in text)
    concision, fluency = _style(response, asides, free_words=20)
    return Grade(
        correctness=0.8 * sum(said),
        relevance=-1.0 * min(false, 3),
        harmlessness=-1.5 * min(rude, 2),
        concision=concision,
        fluency=fluency - 1.0 * (not text),
    )
