"""Replays small enough to be done by hand, and what holds of any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefrepro.errors import UserError
from prefrepro.inspect.simulate.engine import Capacity, Span, Task, longest_path, replay

ANY = Capacity(gpus=10**6, cpus=None, submitted=None)


def task(name: str, seconds: float, *needs: str, gpus: int = 0, cpus: int = 1) -> Task:
    return Task(name, seconds, gpus, cpus, frozenset(needs))


def no_delay(_: Task) -> float:
    return 0.0


def test_by_hand() -> None:
    """Two GPUs: a and b side by side, c when a ends; the two-GPU job when all are done; d last."""
    tasks = [
        task("a", 2, gpus=1),
        task("b", 5, gpus=1),
        task("c", 1, gpus=1),
        task("both", 3, "a", gpus=2),
        task("d", 1, "both", gpus=1),
    ]
    assert replay(tasks, Capacity(2, None, None), no_delay) == {
        "a": Span(0, 0, 2),
        "b": Span(0, 0, 5),
        "c": Span(0, 2, 3),
        "both": Span(2, 5, 8),
        "d": Span(8, 8, 9),
    }


def test_a_queue_delays_every_submission_and_a_limit_holds_them_back() -> None:
    tasks = [task("a", 2), task("b", 2), task("c", 2, "a")]
    assert replay(tasks, ANY, lambda _: 10.0)["c"] == Span(12, 22, 24)
    one_at_a_time = replay(tasks, Capacity(0, None, submitted=1), lambda _: 10.0)
    assert [span.start for span in one_at_a_time.values()] == [10, 22, 34]


def test_cores_are_shared_and_too_much_is_refused() -> None:
    tasks = [task("a", 2, cpus=2), task("b", 2, cpus=1), task("c", 2, cpus=1)]
    assert replay(tasks, Capacity(0, 2, None), no_delay)["c"] == Span(0, 2, 4)
    with pytest.raises(UserError, match="a asks for 2 cores, and there are 1"):
        replay(tasks, Capacity(0, 1, None), no_delay)
    with pytest.raises(UserError, match="g asks for 8 GPUs, and there are 4"):
        replay([task("g", 1, gpus=8)], Capacity(4, None, None), no_delay)


def test_the_longest_path() -> None:
    seconds = {"a": 1.0, "b": 3.0, "c": 1.0, "d": 1.0}
    needs = {"a": [], "b": [], "c": ["a", "b"], "d": ["a"]}
    assert longest_path(seconds, needs) == ["b", "c"]
    assert longest_path({}, {}) == []


@st.composite
def plans(draw: st.DrawFn) -> list[Task]:
    tasks: list[Task] = []
    for number in range(draw(st.integers(1, 12))):
        needs = [t.id for t in tasks if draw(st.booleans())]
        seconds = draw(st.integers(0, 9))
        tasks.append(task(str(number), seconds, *needs, gpus=draw(st.integers(0, 4)), cpus=draw(st.integers(1, 3))))
    return tasks


@given(plans(), st.integers(4, 8), st.integers(3, 5), st.integers(1, 4), st.integers(0, 3))
def test_any_replay_is_possible_and_no_worse_than_one_by_one(
    tasks: list[Task], gpus: int, cpus: int, submitted: int, delay: int
) -> None:
    spans = replay(tasks, Capacity(gpus, cpus, submitted), lambda _: float(delay))
    assert set(spans) == {t.id for t in tasks}
    for t in tasks:
        span = spans[t.id]
        assert span.ready == max((spans[needed].end for needed in t.needs), default=0)
        assert span.start >= span.ready + delay
        assert span.end == span.start + t.seconds
        beside = [other for other in tasks if spans[other.id].start <= span.start < spans[other.id].end]
        assert sum(other.gpus for other in beside) <= gpus
        assert sum(other.cpus for other in beside) <= cpus
        assert len(beside) <= submitted
    end = max(span.end for span in spans.values())
    assert end <= sum(t.seconds + delay for t in tasks)
    path = longest_path({t.id: t.seconds for t in tasks}, {t.id: list(t.needs) for t in tasks})
    assert end >= sum(t.seconds for t in tasks if t.id in path)
