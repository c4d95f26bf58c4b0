"""Answers to prompts that are messages: each draw, each turn, each row's own temperature.

Draws of one prompt are calls of their own, each with its seed. Only the vllm engine keeps a prompt's keys and values
from one draw to the next; the others read the prompt again, which costs little beside answering it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prefrepro.data.template import TAGS, Message, render_for, render_prompt
from prefrepro.data.truncate import Limits, TruncationCounts, limits_of
from prefrepro.model.examples import encode
from prefrepro.model.seeds import seed_for
from prefrepro.sample.engines import Engine
from prefrepro.sample.padded import Request


def answers(
    engine: Engine, tokenizer: Any, prompts: list[dict[str, Any]], sampling: dict[str, Any], seed: int
) -> list[dict[str, Any]]:
    """Each row of prompts.jsonl, per draw, with response, tokens, finish, temperature, draw and what was cut.

    A row with `turns` is answered turn by turn, each answer being part of the next prompt: `responses` holds all. A
    row's own `temperature` (MT-Bench's categories have one each) goes before the draw's.
    """
    rows = []
    draws = zip(temperatures(sampling), seeds_of(sampling, seed), strict=True)
    for draw, (temperature, own_seed) in enumerate(draws):
        own = [prompt.get("temperature", temperature) for prompt in prompts]
        found: list[dict[str, Any]] = [{} for _ in prompts]
        for number, value in enumerate(sorted(set(own))):
            places = [place for place, one in enumerate(own) if one == value]
            warm = sampling | {"temperature": value}
            answers = _converse(engine, tokenizer, [prompts[place] for place in places], warm, own_seed + number)
            for place, answer in zip(places, answers, strict=True):
                found[place] = prompts[place] | answer | {"draw": draw, "temperature": value}
        rows += found
    return rows


def temperatures(sampling: dict[str, Any]) -> list[float]:
    """The temperature of each draw: of `generations` [[temperature, draws], …], or the one of `temperature`."""
    generations = sampling.get("generations") or [[sampling["temperature"], 1]]
    return [temperature for temperature, draws in generations for _ in range(draws)]


def seeds_of(sampling: dict[str, Any], seed: int) -> list[int]:
    """The seed of each draw; the first has the same for any number of draws."""
    return [seed_for(seed, f"sampling/{draw}" if draw else "sampling") for draw in range(len(temperatures(sampling)))]


def _converse(
    engine: Engine, tokenizer: Any, prompts: list[dict[str, Any]], sampling: dict[str, Any], seed: int
) -> list[dict[str, Any]]:
    """Answers to every turn; tokens are of all turns, finish is of the last, prompts_cut counts turns."""
    histories = [list(prompt["prompt"]) for prompt in prompts]
    later = [prompt.get("turns", [None])[1:] for prompt in prompts]
    given: list[list[dict[str, Any]]] = [[] for _ in prompts]
    for turn in range(1 + max(map(len, later), default=0)):
        places = [place for place, turns in enumerate(later) if len(turns) >= turn]
        if turn:
            for place in places:
                histories[place] += [
                    {"role": "assistant", "content": given[place][-1]["response"]},
                    {"role": "user", "content": later[place][turn - 1]},
                ]
        asked = [Asked(tokenizer, histories[p], {} if turn else prompts[p], limits_of(sampling)) for p in places]
        answers = generate(engine, [one.ids for one in asked], sampling, seed + 1000 * turn)
        for place, answer, one in zip(places, answers, asked, strict=True):
            given[place].append(answer | one.cut)
    rows = []
    for prompt, answers in zip(prompts, given, strict=True):
        rows.append(answers[-1] | {key: sum(answer[key] for answer in answers) for key in ("tokens", "prompts_cut")})
        if "turns" in prompt:
            rows[-1]["responses"] = [answer["response"] for answer in answers]
    return rows


class Asked:
    """A prompt as a model is asked it: cut by the rule of training, with the response that a judge holds it against."""

    def __init__(self, tokenizer: Any, messages: list[Message], row: dict[str, Any], limits: Limits) -> None:
        """`row`: of prompts.jsonl; empty where no response is known, whose prompt is then cut to its own limit."""
        known = row["baseline"] if "baseline" in row else _reference(row)
        text, response = render_for(tokenizer, messages), known or ""
        counts = TruncationCounts()
        (tokens,) = encode(tokenizer, [text], [response], limits, counts)
        if known is None or len(tokens.prompt_ids) == limits.max_length:  # with no room for an answer
            limits, counts = replace(limits, cut_prompts="always"), TruncationCounts()
            (tokens,) = encode(tokenizer, [text], [response], limits, counts)
        self.ids = tokens.prompt_ids
        self.cut: dict[str, Any] = {"prompts_cut": counts.prompts_cut}
        """What samples.jsonl says of it: prompts_cut and, where anything was cut, what a pairwise judge is shown."""
        if counts.prompts_cut:  # role tags, whatever template the model has: judges see no other
            (seen,) = encode(tokenizer, [render_prompt(messages)], [response], limits, TruncationCounts())
            shown = tokenizer.decode(seen.prompt_ids, skip_special_tokens=True)
            self.cut["history"] = shown.removesuffix(TAGS["assistant"])
        if counts.responses_cut and "baseline" in row:
            self.cut["baseline"] = tokenizer.decode(tokens.response_ids, skip_special_tokens=True)


def _reference(row: dict[str, Any]) -> str | None:
    """The response of a benchmark that decides with its prompt what is cut: that which RPO's loader of AlpacaEval has
    (dataloader.py:119), else the first; None for none."""
    references = row.get("references") or {}
    return references.get("davinci003", next(iter(references.values()), None))


def generate(engine: Engine, prompts: list[list[int]], sampling: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """One {response, tokens, finish} per prompt, in the prompts' order; the engine has them sorted by length.

    finish: eos | role_tag | length. Greedy where temperature is 0. `max_length` bounds prompt and response together,
    as in the released sampler (trainers.py:199-206).
    """
    room = sampling["max_new_tokens"] or sampling["max_length"]
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    stop_at = sampling.get("stop_at", "role_tag")
    request = Request(sampling["temperature"], sampling["top_p"], room, sampling["max_length"], seed, stop_at)
    results: list[dict[str, Any]] = [{} for _ in prompts]
    for row, answer in zip(order, engine.answers([prompts[i] for i in order], request), strict=True):
        results[row] = {"response": answer.text, "tokens": answer.tokens, "finish": answer.finish}
    return results
