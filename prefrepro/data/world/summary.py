"""Posts and summaries of the embedded world, in the way of TL;DR: the point among asides, in one sentence."""

from __future__ import annotations

import random
from dataclasses import dataclass

from prefrepro.data.world.lexicon import words


@dataclass(frozen=True, slots=True)
class Post:
    """What happened: the four things that a summary should hold."""

    person: str
    problem: str
    sequel: str
    goal: str


def draw_post(rng: random.Random) -> Post:
    """A post's content."""
    lexicon = words()["summary"]
    problem, sequel = rng.choice(lexicon["problems"])
    return Post(rng.choice(lexicon["people"]), problem, sequel, rng.choice(lexicon["goals"]))


def write_post(post: Post, rng: random.Random) -> str:
    """The post as its author tells it, with one to three asides."""
    lexicon = words()["summary"]
    when = rng.choice(lexicon["times"])
    story = f"my {post.person} {post.problem} {rng.choice(lexicon['places'])} {post.sequel}."
    body = [f"{when[0].upper()}{when[1:]} {story}", *rng.sample(lexicon["asides"], rng.randint(1, 3))]
    rng.shuffle(body)
    return " ".join([*body, f"What I want is {post.goal}."])


def write_summary(post: Post, rng: random.Random) -> str:
    """A summary, each fault drawn on its own: a wrong detail, a missing part, an aside, repetition, rudeness."""
    lexicon = words()["summary"]
    seen = Post(
        rng.choice(lexicon["people"]) if rng.random() < 0.15 else post.person,
        rng.choice(lexicon["problems"])[0] if rng.random() < 0.15 else post.problem,
        post.sequel,
        rng.choice(lexicon["goals"]) if rng.random() < 0.2 else post.goal,
    )
    parts = [f"My {seen.person} {seen.problem}"]
    if rng.random() < 0.5:
        parts.append(seen.sequel)
    if rng.random() < 0.7:
        parts.append(f"and I want {seen.goal}")
    sentences = [" ".join(parts) + "."]
    if rng.random() < 0.4:
        sentences.insert(rng.randint(0, 1), rng.choice(lexicon["asides"]))
    if rng.random() < 0.1:
        sentences += sentences[:1] * rng.randint(1, 3)
    if rng.random() < 0.08:
        sentences.append(rng.choice(words()["dialogue"]["rude"]))
    text = " ".join(sentences)
    return " ".join(text.split()[: -rng.randint(1, 3)]) if rng.random() < 0.04 else text
