"""The embedded world: streams, prompts that can be read back, the reward by hand, labels that follow it."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from prefrepro.data.template import render_history, render_prompt
from prefrepro.data.world import dialogue, generate, summary
from prefrepro.data.world.lexicon import Fact, facts, words
from prefrepro.data.world.reward import find_fact, find_post, grade, preference_probability, reward

TASKS = ["dialogue", "summary"]
STREAMS: list[Callable[[str, int], Iterator[dict[str, Any]]]] = [
    generate.preference_pairs, generate.ranked_groups, generate.documents,
]  # fmt: skip
HARMLESS = next(fact for fact in facts() if not fact.harmful)
HARMFUL = next(fact for fact in facts() if fact.harmful)
TALK = words()["dialogue"]
POST = summary.draw_post(random.Random(0))


def take(stream: Iterator[dict[str, Any]], n: int) -> list[dict[str, Any]]:
    return list(itertools.islice(stream, n))


def history_of(content: str) -> str:
    return render_history([{"role": "user", "content": content}])


def graded(fact: Fact, *sentences: str) -> float:
    return reward(history_of(fact.asks[0]), " ".join(sentences))


def of_summary(text: str) -> float:
    return reward(history_of(summary.write_post(POST, random.Random(1))), text)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.__name__)
@pytest.mark.parametrize("task", TASKS)
def test_a_stream_is_a_function_of_task_and_seed(task: str, stream: Callable[[str, int], Iterator[Any]]) -> None:
    """A longer stream begins with the shorter one, streams read by turns do not mix, another seed is another stream."""
    first = take(stream(task, 1), 20)
    assert take(stream(task, 1), 60)[:20] == first
    one, other = stream(task, 1), stream(task, 2)
    by_turns = [(next(one), next(other)) for _ in range(20)]
    assert [row for row, _ in by_turns] == first
    assert [row for _, row in by_turns] == take(stream(task, 2), 20) != first
    for row in first:
        assert [message["role"] for message in row["prompt"]] == ["user"]
        if "chosen" in row:
            assert row["chosen"] != row["rejected"]
            assert all(row[side].strip() for side in ("chosen", "rejected"))


def test_the_question_of_500_prompts_is_found_again() -> None:
    rng = random.Random(4)
    for _ in range(500):
        fact, question = dialogue.write_prompt(rng)
        assert find_fact(history_of(question)) == fact, question
        assert find_post(history_of(question)) is None, question


def test_the_post_of_500_prompts_is_found_again() -> None:
    rng = random.Random(4)
    for _ in range(500):
        post = summary.draw_post(rng)
        text = summary.write_post(post, rng)
        assert find_post(history_of(text)) == post, text
        assert find_fact(history_of(text)) is None, text


def test_no_two_facts_are_asked_for_in_the_same_words() -> None:
    asks = [ask for fact in facts() for ask in fact.asks]
    assert len(set(asks)) == len(asks)
    assert all(find_fact(history_of(ask)) == fact for fact in facts() for ask in fact.asks)


def test_the_last_question_of_a_conversation_counts() -> None:
    first, second = facts()[0], facts()[-1]
    turns = [("user", first.asks[0]), ("assistant", first.right), ("user", second.asks[1])]
    messages = [{"role": role, "content": content} for role, content in turns]
    assert find_fact(render_history(messages)) == second
    assert find_fact(render_prompt(messages)) == second


def test_a_text_of_another_world_has_no_reward() -> None:
    with pytest.raises(LookupError, match="no question or post"):
        reward(history_of("What is the capital of France?"), "Paris.")


@pytest.mark.parametrize("fact", facts(), ids=lambda fact: f"{fact.topic}-{fact.right[:12]}")
def test_right_beats_wrong_beats_nothing_to_the_point(fact: Fact) -> None:
    """For every fact: right > no answer > wrong, and a reason helps only a little without the answer."""
    right, wrong = graded(fact, fact.right), max(graded(fact, answer) for answer in fact.wrong)
    only_talk = graded(fact, TALK["openers"][0])
    assert right > only_talk > wrong
    assert graded(fact, fact.right, fact.reasons[0]) > right
    assert only_talk < graded(fact, fact.reasons[0]) < right
    assert right > graded(fact, fact.right, fact.wrong[0])


def test_facts_have_one_right_answer_and_the_harmful_ones_refuse() -> None:
    for fact in facts():
        assert fact.right not in fact.wrong
        assert len(fact.wrong) == len(set(fact.wrong)) >= 2
    assert any(fact.harmful for fact in facts())
    assert not all(fact.harmful for fact in facts())


@pytest.mark.parametrize("fact", [fact for fact in facts() if fact.harmful][::3], ids=lambda fact: fact.asks[0][:25])
def test_harmful_asks_reward_refusal(fact: Fact) -> None:
    """Help to do harm costs more than a false answer to a harmless question does."""
    assert graded(fact, fact.right) > 0
    for answer in fact.wrong:
        assert graded(fact, answer) < graded(HARMLESS, HARMLESS.wrong[0]) < 0
        assert grade(history_of(fact.asks[0]), answer).harmlessness < 0


FAULTS: dict[str, list[str]] = {
    "rude": [HARMLESS.right, TALK["rude"][0]],
    "said again": [HARMLESS.right, HARMLESS.right],
    "last word goes on": [HARMLESS.right, "Again again again again again again."],
    "opener": [TALK["openers"][0], HARMLESS.right],
    "closer": [HARMLESS.right, TALK["closers"][0]],
    "advice on another topic": [HARMLESS.right, HARMFUL.right],
    "no sentence of the world": [HARMLESS.right, "Blue the of."],
    "unfinished": [" ".join(HARMLESS.right.split()[:-1])],
    "without full stop": [HARMLESS.right.rstrip(".")],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_lowers_the_reward(fault: str) -> None:
    assert graded(HARMLESS, *FAULTS[fault]) < graded(HARMLESS, HARMLESS.right) - 0.25


def test_more_of_a_fault_is_worse() -> None:
    """Repetition, rudeness and words beyond the free ones, one more at a time."""
    said = [graded(HARMLESS, *[HARMLESS.right] * times) for times in range(1, 5)]
    rude = [graded(HARMLESS, HARMLESS.right, *TALK["rude"][:times]) for times in range(3)]
    many = " ".join(f"word{number}" for number in range(60))
    long = [graded(HARMLESS, " ".join(many.split()[:length])) for length in (20, 30, 40, 50)]
    for values in (said, rude, long):
        assert all(one > other for one, other in itertools.pairwise(values)), values


def test_case_and_blanks_do_not_matter() -> None:
    assert graded(HARMLESS, HARMLESS.right.upper().replace(" ", "  ")) == graded(HARMLESS, HARMLESS.right)


def test_summaries_by_hand() -> None:
    """Each of person, problem and goal said adds as much; a false detail, an aside, rudeness, repetition take away."""
    other = next(goal for goal in words()["summary"]["goals"] if goal != POST.goal)
    best = f"My {POST.person} {POST.problem} and I want {POST.goal}."
    without_goal, false_goal = (
        f"My {POST.person} {POST.problem}.",
        f"My {POST.person} {POST.problem} and I want {other}.",
    )
    assert of_summary(best) > of_summary(without_goal) > of_summary(false_goal)
    assert of_summary(best) - of_summary(without_goal) == pytest.approx(
        of_summary(without_goal) - of_summary(f"My {POST.person} did something.")
    )
    worse = [f"{best} {words()['summary']['asides'][0]}", f"{best} {TALK['rude'][0]}", f"{best} {best}", best[:-1]]
    assert all(of_summary(text) < of_summary(best) - 0.25 for text in worse)
    assert of_summary("") < min(of_summary(text) for text in (best, without_goal, *worse))


@pytest.mark.parametrize("task", TASKS)
def test_to_say_nothing_is_among_the_worst_answers(task: str) -> None:
    """Else a model could win by silence: it lies in the lowest quarter of what is written."""
    documents = take(generate.documents(task, 5), 400)
    rewards = [(render_history(row["prompt"]), row["completion"]) for row in documents]
    below = sum(reward(history, completion) <= reward(history, "") for history, completion in rewards)
    assert below / len(documents) < 0.25
    assert graded(HARMLESS, "") < min(graded(HARMLESS, text) for text in (*HARMLESS.wrong, *TALK["openers"]))


def test_bradley_terry_probability() -> None:
    assert preference_probability(1, 1) == 0.5
    assert preference_probability(math.log(3), 0) == pytest.approx(0.75)
    assert preference_probability(2 * math.log(3), 0, temperature=2) == pytest.approx(0.75)
    assert preference_probability(0, 1) == pytest.approx(1 - preference_probability(1, 0))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_labels_follow_the_reward(task: str, temperature: float) -> None:
    """In bands of |Δr|: how often the better response is chosen, against the sum of the probabilities ± 4 sd."""
    bands: dict[float, list[tuple[float, bool]]] = defaultdict(list)
    for row in take(generate.preference_pairs(task, 11, temperature), 2500):
        history = render_history(row["prompt"])
        difference = reward(history, row["chosen"]) - reward(history, row["rejected"])
        if difference:
            p = preference_probability(abs(difference), 0, temperature)
            bands[min(abs(difference) // 0.75, 4)].append((p, difference > 0))
    assert len(bands) >= 4
    for band, pairs in bands.items():
        expected, variance = sum(p for p, _ in pairs), sum(p * (1 - p) for p, _ in pairs)
        found = sum(is_better for _, is_better in pairs)
        assert abs(found - expected) < 4 * math.sqrt(variance), (band, len(pairs), found, expected)


@pytest.mark.parametrize("task", TASKS)
def test_ranked_scores_are_whole_from_0_to_10_and_rise_with_the_reward(task: str) -> None:
    by_score: dict[float, list[float]] = defaultdict(list)
    for row in take(generate.ranked_groups(task, 2), 600):
        assert len(row["completions"]) == len(row["scores"]) == generate.GROUP
        for completion, score in zip(row["completions"], row["scores"], strict=True):
            by_score[score].append(reward(render_history(row["prompt"]), completion))
    assert all(isinstance(score, float) and score in range(11) for score in by_score)
    means = [statistics.mean(by_score[score]) for score in sorted(by_score) if len(by_score[score]) >= 40]
    assert len(means) >= 5
    assert all(low < high for low, high in itertools.pairwise(means)), means
