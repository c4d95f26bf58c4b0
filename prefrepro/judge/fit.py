"""The settings with which a judge takes every request that its evaluations send, found by asking.

Each field is asked about alone, on the plainest question, so that each refusal has one cause; then the real prompts of
every evaluation are sent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from prefrepro.errors import UserError
from prefrepro.judge import arena_hard, mt_bench
from prefrepro.judge.benchmark import arena_hard_prompt, mt_bench_prompts
from prefrepro.judge.client import JudgeClient, Reply, ServedAsError, chat_request
from prefrepro.judge.dialects.probe import BETTER, MESSAGES, WORSE
from prefrepro.judge.failures import JudgeStoppedError
from prefrepro.judge.pairwise import PARSERS
from prefrepro.judge.prompts import PROTOCOLS, TEMPLATES, compose
from prefrepro.specs.evaluation import EVALUATIONS
from prefrepro.specs.judge import TOKEN_LIMIT_FIELDS, JudgeConfig

MORE_TOKENS = (1024, 8192, 32_768)
"""Limits that are tried where a judge that thinks comes to no answer."""
QUESTION = "How often should I water the tomatoes?"
"""One that the embedded world's judge knows too."""
ANSWERS = ("Water the tomatoes twice a week.", "Every morning, I think.")
REFUSALS = (400, 404, 422)
NO_ROOM = "output limit was reached"
"""OpenAI's words where thoughts took all tokens: an error in place of an empty reply."""
EMPTY = '{"choices": [{"message": {}}]}'
TOOL_TOKENS = 100
"""AlpacaEval's own limit for its tool call and its text."""
OF_PAIRS, OF_ALPACA, OF_MT_BENCH, OF_ARENA_HARD = EVALUATIONS
Asking = tuple[dict[str, Any], Callable[[str], Any]]
"""A request, and what reads its reply: None where it cannot be read"""


@dataclass(slots=True)
class Fit:
    """What was found."""

    given: JudgeConfig
    config: JudgeConfig
    """The one that was given, with the settings that the judge takes."""
    first: Reply
    """To the plainest question."""
    refusals: dict[str, str] = field(default_factory=dict)
    """Field, or evaluation, -> the judge's words."""

    @property
    def changes(self) -> dict[str, Any]:
        """Key of the judge's file -> the value to write there."""
        before, after = (dataclasses.asdict(config) for config in (self.given, self.config))
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in after.items()}
        return {key: value for key, value in plain.items() if after[key] != before[key]}

    def change(self, name: str, words: str, **values: Any) -> None:
        """Set `values`, because the judge refused `name` with these words."""
        self.config = dataclasses.replace(self.config, **values)
        self.refusals[name] = words

    def told(self, key: str) -> str:
        """Why the key is changed, in a few words."""
        value = getattr(self.given, key)
        return {
            "token_limit_field": f"{value} is refused",
            "temperature": f"temperature {in_yaml(value)} is refused",
            "served_as": f"it answers as {self.config.served_as}",
            "max_tokens": f"{value} tokens end before it answers",
            "limits": "the limits of tokens end before it answers",
            "leave_out": "they are refused: " + ", ".join(set(self.config.leave_out) - set(self.given.leave_out)),
            "join_messages": "the form of a conversation is refused",
        }.get(key, f"{key} is refused")


def asked(
    client: JudgeClient, config: JudgeConfig, messages: Sequence[Mapping[str, Any]] = MESSAGES, **changes: Any
) -> Reply | str:
    """The reply, or the words of a refusal. Nothing is set but what is asked about: each refusal then has one cause.

    Raises UserError where the judge fails in another way, which says nothing of what it can.
    """
    bare = {"temperature": None, "seed": None, "reasoning_effort": None, **changes}
    return sent(client, chat_request(config, [dict(message) for message in messages], **bare))


def sent(client: JudgeClient, request: dict[str, Any]) -> Reply | str:
    """The reply to a whole request, or the words of a refusal. Raises UserError as `asked`.

    Where the judge answers under another name, that name is accepted from then on.
    """
    try:
        reply = client.ask(request)
    except ServedAsError as error:
        client.config = dataclasses.replace(client.config, served_as=error.served)
        return sent(client, request)
    except JudgeStoppedError as error:
        if error.failure.status in REFUSALS:
            return str(error.failure)
        raise
    if reply.status == "ok":
        return reply
    if NO_ROOM in reply.text:
        return dataclasses.replace(reply, status="ok", text="", body=EMPTY, finish_reason="length")
    if reply.http_status in REFUSALS:
        return reply.text
    raise UserError(f'judge "{client.config.name}" could not be probed: {reply.text}. Next: try again later.')


def fit(client: JudgeClient, evaluations: Sequence[str]) -> Fit:
    """The config with which the judge serves `evaluations`, as far as settings can do it.

    Raises UserError where the judge is away or answers not even the plainest question.
    """
    given = client.config
    config, first = _plain(client, given)
    found = Fit(given, config, first)
    for name, instead in (("temperature", (1.0, None)), ("seed", (None,)), ("reasoning_effort", (None,))):
        _settle(client, found, name, instead)
    both = {"top_p": 1.0, "temperature": found.config.temperature}  # as AlpacaEval sends them; some judges take one
    if OF_ALPACA in evaluations and isinstance(told := asked(client, found.config, **both), str):
        found.change("top_p", told, leave_out=(*found.config.leave_out, "top_p"))
    _enough_tokens(client, found)
    _join(client, found, evaluations)
    for evaluation in evaluations:
        _serve(client, found, evaluation)
    found.config = dataclasses.replace(found.config, served_as=client.config.served_as)
    return found


def in_yaml(value: Any) -> str:
    """On one line."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True).split("\n...")[0].strip()


def letter(text: str) -> str | None:
    """The plainest question's answer."""
    found = text.strip(" \n\"'.`*")
    return found if found in (BETTER, WORSE) else None


def requests(config: JudgeConfig, evaluation: str) -> Iterator[Asking]:
    """One request of each shape that the evaluation sends, as it sends it. AlpacaEval's shape is the question's."""
    if evaluation == OF_PAIRS:
        for template in TEMPLATES:
            for protocol in PROTOCOLS:
                messages = compose(template, protocol, f"\n<|user|>\n{QUESTION}", *ANSWERS)
                yield chat_request(config, messages), _reader(protocol, template)
    elif evaluation == OF_ALPACA:
        most = config.limit_of(OF_ALPACA, TOOL_TOKENS)
        yield chat_request(config, MESSAGES, seed=None, max_tokens=most), letter
    elif evaluation == OF_MT_BENCH:
        prompts, row = mt_bench_prompts(), {"prompt_id": "probe", "category": "math"}
        row |= {"turns": [QUESTION] * mt_bench.TURNS}
        row |= {key: [ANSWERS[0]] * mt_bench.TURNS for key in ("responses", "reference_answers")}
        for turn in range(1, mt_bench.TURNS + 1):
            yield mt_bench.question(row, turn, prompts, config).request, mt_bench.read_rating
    elif evaluation == OF_ARENA_HARD:
        row = {"prompt_id": "probe", "prompt": [{"role": "user", "content": QUESTION}], "response": ANSWERS[0]}
        row |= {"references": {"probe": ANSWERS[1]}}
        request = arena_hard.game(row, True, arena_hard_prompt(), "probe", config, arena_hard.MAX_TOKENS).request
        yield request, arena_hard.read_2025
        yield arena_hard.continued(request, "Let me see."), arena_hard.read_2025


def _reader(protocol: str, template: str) -> Callable[[str], Any]:
    return lambda text: PARSERS[protocol](text, template)


def _plain(client: JudgeClient, config: JudgeConfig) -> tuple[JudgeConfig, Reply]:
    """The first form of the plainest question that is answered: the limit's name, and how messages are joined."""
    told = ""
    for join in dict.fromkeys((config.join_messages, "users", "all")):
        for name in sorted(TOKEN_LIMIT_FIELDS, key=lambda name: name != config.token_limit_field):
            tried = dataclasses.replace(config, token_limit_field=name, join_messages=join)
            reply = asked(client, tried)
            if isinstance(reply, Reply):
                return tried, reply
            told = told or reply
    raise UserError(
        f'judge "{config.name}" answers no plain question: {told}. '
        "Next: compare model and base_url with the endpoint's own list, GET …/models."
    )


def _settle(client: JudgeClient, found: Fit, name: str, instead: Sequence[Any]) -> None:
    """Where the config's value of a field is refused, the first of `instead` that is not; None is never sent."""
    told = ""
    for value in dict.fromkeys((getattr(found.config, name), *instead)):
        reply = asked(client, found.config, **{name: value})
        if isinstance(reply, Reply):
            if told:
                found.change(name, told, **{name: value})
            return
        told = told or reply


def _enough_tokens(client: JudgeClient, found: Fit) -> None:
    """Raise max_tokens where thoughts leave no room for the plainest question's letter."""
    if letter(found.first.text) or found.first.finish_reason != "length":
        return
    given = found.config.max_tokens
    for most in (given, *(more for more in MORE_TOKENS if more > given)):
        reply = asked(client, found.config, max_tokens=most, reasoning_effort=found.config.reasoning_effort)
        if isinstance(reply, Reply) and letter(reply.text):
            if most > given:
                found.change("max_tokens", f"its {given} tokens ended before the answer", max_tokens=most)
            found.first = reply
            return


def _join(client: JudgeClient, found: Fit, evaluations: Sequence[str]) -> None:
    told = ""
    for join in dict.fromkeys((found.config.join_messages, "users", "all")):
        tried = dataclasses.replace(found.config, join_messages=join)
        shapes = [request["messages"] for name in evaluations for request, _ in requests(tried, name)]
        replies = (asked(client, tried, messages) for messages in shapes)
        refused = next((reply for reply in replies if isinstance(reply, str)), None)
        if refused is None:
            if told:
                found.change("join_messages", told, join_messages=join)
            return
        told = told or refused


def _serve(client: JudgeClient, found: Fit, evaluation: str) -> None:
    """Send what the evaluation sends, with a higher limit where that leaves no room for an answer."""
    limit, given = found.config.token_limit_field, 0
    for most in (None, *MORE_TOKENS):
        tried = found.config
        if most is not None and most <= given:
            continue
        if most is not None:
            limits = (found.config.limits or {}) | {evaluation: most}
            is_pairs = evaluation == OF_PAIRS
            tried = dataclasses.replace(tried, **({"max_tokens": most} if is_pairs else {"limits": limits}))
        is_cut = False
        for request, read in requests(tried, evaluation):
            given = max(given, request[limit])
            reply = sent(client, request)
            if isinstance(reply, str):
                found.refusals[evaluation] = reply
                return
            is_cut |= reply.finish_reason == "length" and read(reply.text) is None
        if not is_cut:
            found.config = tried
            return
    found.refusals[evaluation] = f"no answer within {MORE_TOKENS[-1]} tokens"
