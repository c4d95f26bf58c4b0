"""Answers to prompts that are messages: each draw, each turn, each row's own temperature.

Draws of one prompt are calls of their own, each with its seed. Only the vllm engine keeps a prompt's keys and values
from one draw to the next; the others read the prompt again, which costs little beside answering it.
"""

from __future__ import annotations

from typing import Any

from prefrepro.data.template import render_for
from prefrepro.model.seeds import seed_for
from prefrepro.sample.engines import Engine
from prefrepro.sample.padded import Request


def answers(
    engine: Engine, tokenizer: Any, prompts: list[dict[str, Any]], sampling: dict[str, Any], seed: int
) -> list[dict[str, Any]]:
    """Each row of prompts.jsonl, per draw, with response, tokens, finish, temperature and draw.

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
    """Answers to every turn; tokens are of all turns, finish is of the last."""
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
        texts = [render_for(tokenizer, histories[place]) for place in places]
        answers = generate(engine, tokenizer, texts, sampling, seed + 1000 * turn)
        for place, answer in zip(places, answers, strict=True):
            given[place].append(answer)
    rows = []
    for prompt, answers in zip(prompts, given, strict=True):
        rows.append(answers[-1] | {"tokens": sum(answer["tokens"] for answer in answers)})
        if "turns" in prompt:
            rows[-1]["responses"] = [answer["response"] for answer in answers]
    return rows


def generate(
    engine: Engine, tokenizer: Any, prompts: list[str], sampling: dict[str, Any], seed: int
) -> list[dict[str, Any]]:
    """One {response, tokens, finish} per prompt, in the prompts' order; the engine has them sorted by length.

    finish: eos | role_tag | length. Greedy where temperature is 0. `max_length` bounds prompt and response together,
    as the released sampler; a prompt that leaves no room loses its beginning.
    """
    tokenizer.truncation_side = "left"
    room = sampling["max_new_tokens"] or sampling["max_length"]
    longest = sampling["max_length"] - min(room, sampling["max_length"] // 2)
    lengths = [len(ids) for ids in tokenizer(prompts)["input_ids"]]
    order = sorted(range(len(prompts)), key=lambda i: (lengths[i], i))
    cut = tokenizer([prompts[i] for i in order], truncation=True, max_length=longest)["input_ids"]
    request = Request(sampling["temperature"], sampling["top_p"], room, sampling["max_length"], seed)
    results: list[dict[str, Any]] = [{} for _ in prompts]
    for row, answer in zip(order, engine.answers(cut, request), strict=True):
        results[row] = {"response": answer.text, "tokens": answer.tokens, "finish": answer.finish}
    return results
