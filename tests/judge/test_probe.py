"""What a probe finds of real servers that know more or less, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from faulty_judge import local_judge
from judge_helpers import ROOT, child_environment, make_config

from prefrepro.errors import UserError
from prefrepro.judge.client import JudgeClient, chat_request
from prefrepro.judge.dialects import dialects
from prefrepro.judge.dialects import probe as dialect
from prefrepro.judge.endpoint import Endpoint
from prefrepro.judge.probe import KINDS, Abilities, probe
from prefrepro.judge.prompts import compose
from prefrepro.judge.server import Judge

Open = Callable[..., JudgeClient]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Endpoint]]:
    """A server in this process whose answer to the probe is bent."""
    servers = []

    def serve(**bent: Any) -> Endpoint:
        for name, value in bent.items():
            monkeypatch.setattr(dialect, name, value)
        servers.append(Judge(lambda _history, _response: 0.0))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return Endpoint(f"http://127.0.0.1:{servers[-1].server_address[1]}/v1", servers[-1].token)

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def look(open_client: Open, *options: str, scorer: str = "length", **config: Any) -> Abilities:
    with local_judge(scorer, *options) as endpoint:
        return probe(open_client(endpoint, **config))


def test_a_judge_that_can_all_is_asked_for_logprobs(open_client: Open) -> None:
    found = look(open_client)
    assert all(found.why_not(kind) is None for kind in KINDS)
    assert (found.annotator, found.letters, found.top_logprobs) == ("weighted", "apart", 5)
    assert (found.model_asked, found.model_served) == ("length-judge", "length-judge")
    assert found.system_fingerprint and found.is_listed and found.price_known
    assert (found.refusals, found.config_problems, found.warnings()) == ({}, (), [])


def test_without_logprobs_tools_are_picked(open_client: Open) -> None:
    found = look(open_client, "--no-logprobs")
    assert (found.annotator, found.logprobs, found.tools, found.tool_choice) == ("fn", False, True, True)
    assert "'logprobs' is not supported with this model" in str(found.why_not("weighted"))


def test_with_neither_text_is_picked(open_client: Open) -> None:
    found = look(open_client, "--no-logprobs", "--no-tools")
    assert (found.annotator, found.tools, found.tool_choice) == ("text", False, False)
    assert "'tools' is not supported" in str(found.why_not("fn"))


def test_a_judge_of_nonsense_is_refused_with_reasons(open_client: Open) -> None:
    found = look(open_client, scorer="nonsense")
    assert found.annotator is None
    assert found.why_not("weighted") == "it gives 1 alternatives of a token, 5 are wanted"
    assert "without the tool call" in str(found.why_not("fn"))
    assert "said 'I would rather not say.'" in str(found.why_not("text"))


def test_tokens_with_a_space_are_no_letters(open_client: Open, served: Callable[..., Endpoint]) -> None:
    """docs/judging.md#requests: « m» 0.9 against «M» 0.1 would be scored as a certain win for M."""
    tokens = [{"token": token, "logprob": -1.0, "bytes": None} for token in (" m", "M", "a", "b", "c")]
    endpoint = served(_logprobs=lambda _n: {"content": [{**tokens[0], "top_logprobs": tokens}]})
    found = probe(open_client(endpoint))
    assert (found.logprobs, found.letters, found.annotator) == (True, "with a space", "fn")
    assert "begin with a space" in str(found.why_not("weighted"))


def test_a_judge_that_ignores_logprobs_and_tools_is_seen_through(
    open_client: Open, served: Callable[..., Endpoint]
) -> None:
    """Status 200 alone proves nothing."""
    plain = {"message": {"role": "assistant", "content": "m"}, "finish_reason": "stop"}
    endpoint = served(answer=lambda *_: plain)
    dialects.cache_clear()
    try:
        found = probe(open_client(endpoint))
    finally:
        dialects.cache_clear()
    assert (found.annotator, found.logprobs, found.tools, found.tool_choice) == ("text", False, True, False)


def test_a_newer_model_wants_another_config_and_then_works(open_client: Open) -> None:
    """As gpt-5 and later: max_completion_tokens, temperature 1."""
    found = look(open_client, "--completion-tokens-only")
    assert (found.max_tokens, found.max_completion_tokens, found.temperature_0) == (False, True, False)
    assert found.config_problems == (
        "temperature 0 is refused; write temperature: 1",
        "max_tokens is refused; write token_limit_field: max_completion_tokens",
    )
    config = {"token_limit_field": "max_completion_tokens", "temperature": 1}
    assert look(open_client, "--completion-tokens-only", **config).config_problems == ()
    request = chat_request(make_config(**config), compose("dialogue", "paper", "h", "a", "bb"))
    assert request["max_completion_tokens"] == 10 and "max_tokens" not in request
    with local_judge("length", "--completion-tokens-only") as endpoint:
        assert open_client(endpoint, **config).ask(request).text == "Response 1"


@pytest.mark.parametrize(("today", "told"), [(date(2026, 11, 21), "in 54 days"), (date(2027, 1, 16), "2 days ago")])
def test_a_shutdown_date_is_a_warning(open_client: Open, today: date, told: str) -> None:
    found = look(open_client, "--shutdown-date", "2027-01-14")
    assert found.warnings(today) == [f"the model is shut down on 2027-01-14 ({told}): name another one in time"]


def test_a_judge_that_fails_is_not_called_unable(open_client: Open) -> None:
    """429 without end says nothing of log-probs."""
    with local_judge("length", "--fault-kinds", "rate_limit", fault_rate=1.0) as endpoint:
        client = open_client(endpoint, max_retries=0)
        with pytest.raises(UserError, match="could not be probed"):
            probe(client)


def test_a_judge_that_refuses_every_question_is_an_error(open_client: Open, served: Callable[..., Endpoint]) -> None:
    endpoint = served(MESSAGES=[])  # the dialect no longer knows the probe's question
    with pytest.raises(UserError, match=r"answers no plain question: .*fit none of the prompts"):
        probe(open_client(endpoint))


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "prefrepro", "judge", "probe", *arguments],
        cwd=ROOT, env=child_environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_command_prints_a_table_or_json() -> None:
    done = cli("embedded-world")
    assert done.returncode == 0, done.stderr
    assert "annotator weighted: yes" in done.stdout and "picked: weighted" in done.stdout
    found = json.loads(cli("embedded-world", "--json").stdout)
    assert (found["annotator"], found["why_not"]["fn"], found["warnings"]) == ("weighted", None, [])


def test_the_command_takes_a_url_and_exits_with_1_where_the_config_would_not_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with local_judge("length", "--no-logprobs", "--completion-tokens-only") as endpoint:
        monkeypatch.setenv("PROBE_KEY", endpoint.api_key)
        done = cli(endpoint.base_url, "--model", "gpt-x", "--api-key-env", "PROBE_KEY")
    assert done.returncode == 1, done.stderr
    assert "picked: fn" in done.stdout and "mend the config: temperature 0 is refused" in done.stdout
    assert "warning: no price is set" in done.stdout
    assert endpoint.api_key not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["http://127.0.0.1:9/v1"], "--model is missing"),
        (["http://127.0.0.1:9/v1", "--model", "m"], "cannot be reached"),
        (["gpt-7"], 'judge "gpt-7" is unknown. Known: anthropic'),
    ],
)
def test_the_command_tells_a_users_mistake(arguments: list[str], told: str) -> None:
    done = cli(*arguments)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr


def test_the_probes_question_is_its_own_dialect() -> None:
    """Other prompts are not answered by it."""
    assert dialect.answer({"messages": compose("dialogue", "paper", "h", "a", "b")}, lambda *_: 0.0, "") is None
