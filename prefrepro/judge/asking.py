"""Many questions to one judge, one row of verdicts.csv each: threads, asking again, and what stops everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd
from tqdm import tqdm

from prefrepro.errors import UserError
from prefrepro.judge.client import BudgetError, JudgeClient, Reply

EXAMPLES = 5
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Question:
    """One call to the judge."""

    request: dict[str, Any]
    columns: dict[str, Any]
    """What its row says before it is asked: prompt_id, draw, order, prompt_sha256."""


def judge_all(
    questions: Sequence[Question],
    ask: Callable[[Question], tuple[dict[str, Any], list[Reply]]],
    client: JudgeClient,
    protocol: str,
    progress: bool = True,
) -> pd.DataFrame:
    """One row per question, in their order, columns as in verdicts.schema.yaml, but for the set's id.

    `concurrency` questions are asked at a time. `ask`: (question) -> (verdict, score and weight; the replies).
    The first error stops the rest and is raised; where the budget is used up it says what is still to be asked. Raises
    UserError, also where too many verdicts are invalid.
    """

    def row(question: Question) -> dict[str, Any]:
        verdict, replies = ask(question)
        return {"protocol": protocol, **question.columns, **verdict, **reply_columns(replies)}

    try:
        frame = pd.DataFrame(ask_all(row, questions, client.config.concurrency, progress))
    except BudgetError as error:
        raise out_of_budget(error, client, [question.request for question in questions]) from error
    check_finished(frame, client)
    return frame


def out_of_budget(error: BudgetError, client: JudgeClient, requests: Sequence[dict[str, Any]]) -> UserError:
    """The error with how many requests are still to be asked, and at what price."""
    missing = [request for request in requests if not client.is_cached(request)]
    needed = sum(map(client.estimate_usd, missing))
    return UserError(f"{error} Still to be asked: {len(missing)} of {len(requests)} requests, up to {needed:.4f} USD.")


def ask_until_read(
    client: JudgeClient, request: dict[str, Any], read: Callable[[str], Read | None]
) -> tuple[Read | None, list[Reply]]:
    """Ask until `read` makes something of the reply, at most 1 + `reasks` times; None where it never did.

    A call that failed after all retries ends it, and a reply whose limit of tokens went into thoughts: asking again
    would end alike.
    """
    replies: list[Reply] = []
    found = None
    while found is None and len(replies) <= client.config.reasks:
        replies.append(client.ask(request, repeat=len(replies)))
        if replies[-1].status != "ok" or replies[-1].is_cut:
            break
        found = read(replies[-1].text)
    return found, replies


def reply_columns(replies: Sequence[Reply]) -> dict[str, Any]:
    """The columns of verdicts.csv that say where a verdict came from: the last reply's; costs are of all replies."""
    last = replies[-1]
    return {
        "judge_asked": last.judge_asked,
        "judge_served": last.judge_served,
        "request_sha256": last.request_sha256,
        "raw_reply": last.text,
        "prompt_tokens": sum(reply.prompt_tokens for reply in replies),
        "completion_tokens": sum(reply.completion_tokens for reply in replies),
        "cost_usd": sum(reply.cost_usd for reply in replies),
        "created": last.created,
    }


def check_finished(frame: pd.DataFrame, client: JudgeClient) -> None:
    """Raise UserError where a row was neither answered nor refused for itself, or too many verdicts are invalid."""
    config, is_invalid = client.config, frame["verdict"] == "invalid"
    places = zip(frame["request_sha256"], frame["raw_reply"], strict=True)
    if open_rows := [words for address, words in places if (address, words) in client.unanswered]:
        raise UserError(
            f'judge "{config.name}": {len(open_rows)} of {len(frame)} rows got no answer, so the set is not finished:\n'
            f"{_examples(open_rows)}\nAll others are in the cache. Next: run again when the judge answers; only what "
            "is missing is asked."
        )
    share = sum(is_invalid) / len(frame)
    if share <= config.invalid_limit:
        return
    cut = len(client.cut & set(frame["request_sha256"][is_invalid]))
    why = f"\nOf {cut} the text is empty: {client.told_to_raise()}" if cut else ""
    examples = _examples(frame["raw_reply"][is_invalid])
    raise UserError(
        f'judge "{config.name}": {sum(is_invalid)} of {len(frame)} verdicts are invalid ({share:.1%}), the '
        f"limit is {config.invalid_limit:.1%}; each was asked up to {config.reasks + 1} times. "
        f"Some of the replies:\n{examples}{why}\nReplies are in the cache; failed calls are "
        "asked again. Next: take another model, or raise reasks or invalid_limit in "
        f"config/judges/{config.name}.yaml, and run again."
    )


def _examples(replies: Iterable[str]) -> str:
    return "\n".join(f"  {reply[:200]!r}" for reply in list(dict.fromkeys(replies))[:EXAMPLES])


def ask_all(ask: Callable[[Any], Any], questions: Sequence[Any], concurrency: int, progress: bool) -> list[Any]:
    """What `ask` makes of each question, in their order. The first error stops the rest and is raised."""
    with tqdm(total=len(questions), desc="judging", unit="verdict", disable=None if progress else True) as bar:
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="judge")
        try:
            futures = [pool.submit(ask, question) for question in questions]
            for future in futures:
                future.add_done_callback(lambda _: bar.update())
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            return [future.result() for future in futures]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
