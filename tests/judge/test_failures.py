"""The one table of failures: each line reached by a real answer, and what follows is what the line says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from failures_page import PAGE, with_table
from judge_helpers import make_items
from scripted import DROPPED, REQUEST, Script, Step, completion

from prefrepro.errors import UserError
from prefrepro.judge.asking import Question, ask_until_read, judge_all
from prefrepro.judge.client import JudgeClient, Reply
from prefrepro.judge.failures import RULES, JudgeStoppedError, error_in, rule_for
from prefrepro.judge.pairwise import judge_items

Open = Callable[..., JudgeClient]
GOOD = completion(content="Response 1")


def refused(status: int, message: str = "no", **told: Any) -> Step:
    return status, {}, {"error": {"message": message, **told}}


ANSWERS: dict[str, list[Step | float]] = {
    "the key is refused": [refused(401), (200, {}, {"error": {"code": "invalid_api_key", "message": "x"}})],
    "the key is refused, by the error's words": [
        refused(400, "API key not valid. Please pass a valid API key."),
        refused(400, "Incorrect API key provided: ab***yz."),
    ],
    "the credit is used up": [refused(402), (200, {}, {"error": {"code": 402, "message": "Insufficient credits"}})],
    "the credit is used up, by the error's words": [
        refused(429, code="insufficient_quota"),
        refused(403, "Your credit balance is too low"),
        refused(400, "billing_hard_limit_reached"),
        refused(400, "You have reached your specified API usage limits. You will regain access on 2026-12-01."),
    ],
    "a field of the request is refused": [
        refused(400, "Unsupported parameter: 'temperature' is not supported with this model."),
        refused(400, code="unsupported_value", param="temperature"),
        refused(422, "extra_forbidden: seed"),
        refused(400, 'Invalid JSON payload received. Unknown name "safety_settings": Cannot find field.'),
        refused(400, "`temperature` and `top_p` cannot both be specified for this model."),
        refused(404, "No endpoints found that support the provided 'tool_choice' value."),
        refused(400, "Unrecognized request argument supplied: safety_identifier"),
    ],
    "the content filter refuses this prompt": [
        refused(403, "prompt flagged by moderation"),
        refused(400, code="content_filter"),
        refused(400, code="invalid_prompt"),
        refused(451, "responsible_ai_policy_violation"),
        (200, {}, {"error": {"code": "content_policy_violation", "message": "x"}}),
    ],
    "the form of the conversation is refused": [
        refused(400, "Conversation roles must alternate user/assistant/user/assistant/..."),
        refused(500, "System role not supported"),
    ],
    "forbidden, for a prompt or for all": [refused(403, "Forbidden")],
    "the model is unknown, by the error's words": [
        refused(400, "Model Not Exist"),
        refused(400, "gpt-9 is not a valid model ID"),
    ],
    "the model or the path is unknown": [refused(404), refused(405), (200, {}, {"detail": "Not Found"})],
    "too many requests": [
        refused(429),
        (200, {}, {"error": {"code": 429, "message": "Rate limit exceeded"}}),
        (200, {}, {"error": {"status": "RESOURCE_EXHAUSTED", "message": "x"}}),
        (200, {}, {"choices": [{"error": {"code": 429, "message": "x"}}]}),
    ],
    "a gateway got no answer": [refused(504), refused(502), refused(408), refused(524)],
    "the request conflicts with another one": [refused(409), refused(425)],
    "this request is refused": [refused(400, "this model's maximum context length is 4096 tokens"), refused(413)],
    "the judge fails": [
        refused(500),
        refused(503),
        refused(529),
        (200, {}, {"error": "the engine has died"}),
        (200, {}, {"object": "error", "message": "x"}),
    ],
    "no connection": [],
    "no answer in time": [30.0],
    "the connection broke": [DROPPED],
    "the answer is no chat completion": [(200, {}, {}), (200, {}, b"<html>"), (200, {}, {"choices": []})],
    "the answer is of another model": [(200, {}, {**GOOD[2], "model": "other"})],
}


def test_every_line_of_the_table_is_tried() -> None:
    assert list(ANSWERS) == [rule.what for rule in RULES]


CASES = [(what, step) for what, steps in ANSWERS.items() for step in steps]


@pytest.mark.parametrize(("what", "step"), CASES, ids=[f"{what}-{n}" for n, (what, _) in enumerate(CASES)])
def test_what_follows_is_what_the_line_says(play: Script, open_client: Open, what: str, step: Step | float) -> None:
    rule = next(rule for rule in RULES if rule.what == what)
    harmless = [] if rule.then == "ask" else [step]
    client = open_client(play(step, *harmless, GOOD), max_retries=1, timeout_s=1.0)
    if rule.then == "set":
        with pytest.raises(UserError, match=rule.next.split("NAME")[0].rstrip("` ")):
            client.ask(REQUEST)
    else:
        reply = client.ask(REQUEST)
        assert reply.status == {"row": "refused", "ask": "refused", "open": "error"}[rule.then], reply.text
    assert len(play.requests) == 1 + (rule.retry or rule.then == "ask")
    assert client.is_cached(REQUEST) is rule.cached


def test_a_403_for_everything_stops_the_set(play: Script, open_client: Open) -> None:
    with pytest.raises(JudgeStoppedError, match=r"forbidden.*check what the key may do"):
        open_client(play(refused(403, "Forbidden"))).ask(REQUEST)


def test_a_harmless_question_that_is_refused_for_its_limit_tells_that_the_key_is_good(
    play: Script, open_client: Open
) -> None:
    """A model that thinks takes more than the question's 16 tokens; OpenAI's then answer 400."""
    steps = refused(403, "Forbidden"), refused(400, "max_tokens or model output limit was reached"), GOOD
    assert open_client(play(*steps)).ask(REQUEST).status == "refused"


def test_a_set_in_which_the_credit_runs_out_is_not_finished_and_keeps_what_was_paid(
    play: Script, open_client: Open
) -> None:
    """../shared/cases: the last 8 of 400 verdicts became invalid, and the set counted as finished."""
    items = make_items(12)
    spent = play(*[completion(content="Response 1")] * 8, refused(402, "Insufficient credits"))
    with pytest.raises(UserError, match="the credit is used up"):
        judge_items(items, open_client(spent, served_as="m-2026", concurrency=1), protocol="paper", template="dialogue")
    paid_in = open_client(play(GOOD), served_as="m-2026", concurrency=1)
    assert len(judge_items(items, paid_in, protocol="paper", template="dialogue")) == 12
    assert (paid_in.asked, paid_in.cached) == (4, 8)


def test_a_set_with_an_unanswered_row_is_not_finished(play: Script, open_client: Open) -> None:
    """Although one of 60 is below the limit of invalid verdicts."""
    items, steps = make_items(60), [GOOD] * 60
    steps[30] = refused(503, "overloaded")
    client = open_client(play(*steps), served_as="m-2026", concurrency=1, max_retries=0)
    with pytest.raises(UserError, match=r"1 of 60 rows got no answer, so the set is not finished(?s:.*)overloaded"):
        judge_items(items, client, protocol="paper", template="dialogue")
    again = open_client(play(GOOD), served_as="m-2026")
    assert len(judge_items(items, again, protocol="paper", template="dialogue")) == 60
    assert (again.asked, again.cached) == (1, 59)


def test_one_request_of_two_rows_that_is_answered_for_the_second_leaves_the_first_open(
    play: Script, open_client: Open
) -> None:
    """Two draws of one text are one request."""
    client = open_client(play(refused(503, "overloaded"), GOOD), concurrency=1, max_retries=0, invalid_limit=1.0)

    def ask(question: Question) -> tuple[dict[str, Any], list[Reply]]:
        text, replies = ask_until_read(client, question.request, lambda text: text or None)
        return {"verdict": "win" if text else "invalid"}, replies

    with pytest.raises(UserError, match="1 of 2 rows got no answer"):
        judge_all([Question(REQUEST, {"draw": draw}) for draw in (0, 1)], ask, client, "paper", progress=False)


def test_a_row_that_is_refused_for_itself_is_invalid_and_the_set_is_finished(play: Script, open_client: Open) -> None:
    items, steps = make_items(60), [GOOD] * 60
    steps[30] = refused(400, "the content filter was triggered")
    client = open_client(play(*steps), served_as="m-2026", concurrency=1)
    frame = judge_items(items, client, protocol="paper", template="dialogue")
    assert list(frame["verdict"]).count("invalid") == 1 and "content filter" in frame["raw_reply"][30]


def test_an_unknown_status_is_the_judges_fault() -> None:
    assert rule_for(599, "") is rule_for(500, "") is rule_for(302, "")


@pytest.mark.parametrize("body", [{"choices": [{"message": {"content": "x"}}]}, {}, [], "x", None, 3, {"error": None}])
def test_what_holds_no_error_is_none(body: Any) -> None:
    assert error_in(body) is None


def test_the_docs_have_the_same_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page, "run python tests/judge/failures_page.py"
