"""Text to token ids: padding, labels, EOS and BOS, what truncation takes and counts."""

from __future__ import annotations

import copy
import itertools
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from train_helpers import method_of, tokenizer, world_rows

from prefrepro.data.template import render_prompt
from prefrepro.data.truncate import Limits, Mode, TruncationCounts
from prefrepro.data.world import generate
from prefrepro.errors import UserError
from prefrepro.model import examples
from prefrepro.model.examples import (
    RowFile,
    Tokens,
    by_length,
    encode,
    encode_groups,
    encode_pairs,
    fewer_responses,
    mismatched,
    pairs_of_groups,
)
from prefrepro.model.inputs import training_inputs

WIDE = Limits(max_length=1000, max_prompt_length=500, truncation_mode="keep_end")


def test_prompt_and_response_are_encoded_apart_and_closed() -> None:
    tok, row = tokenizer(), world_rows(1)[0]
    prompt = render_prompt(row["prompt"])
    counts = TruncationCounts()
    (tokens,) = encode(tok, [prompt], [row["chosen"]], WIDE, counts)
    assert tokens.prompt_ids[0] == tok.bos_token_id
    assert tokens.response_ids[-1] == tok.eos_token_id
    special = {tok.bos_token_id, tok.eos_token_id, tok.pad_token_id}
    assert not special & {*tokens.prompt_ids[1:], *tokens.response_ids[:-1]}
    assert tok.decode(tokens.prompt_ids[1:]) == prompt
    assert tok.decode(tokens.response_ids[:-1]) == row["chosen"]
    assert counts == TruncationCounts(sequences=1)
    assert encode(tok, [], [], WIDE, counts) == []


def test_every_response_is_closed_when_cut_too() -> None:
    tok = tokenizer()
    short = Limits(max_length=30, max_prompt_length=20, truncation_mode="keep_end")
    pairs = encode_pairs(world_rows(30), tok, short)
    for tokens in [*pairs.chosen, *pairs.rejected]:
        assert tokens.response_ids[-1] == tok.eos_token_id
        assert tok.eos_token_id not in tokens.response_ids[:-1]
        assert len(tokens.prompt_ids) + len(tokens.response_ids) <= 30 + 1  # EOS comes after the cut
    assert pairs.counts["responses_cut"] > 0


def test_what_truncation_drops_is_counted() -> None:
    """From the lengths of the whole: every token is either there or among `tokens_dropped`."""
    tok, rows = tokenizer(), world_rows(30)
    limits = Limits(max_length=32, max_prompt_length=16, truncation_mode="keep_end")
    whole, cut = encode_pairs(rows, tok, WIDE), encode_pairs(rows, tok, limits)

    def lengths(pairs: object, name: str) -> list[int]:
        return [len(getattr(tokens, name)) for side in ("chosen", "rejected") for tokens in getattr(pairs, side)]

    prompts = list(zip(lengths(whole, "prompt_ids"), lengths(cut, "prompt_ids"), strict=True))
    responses = list(zip(lengths(whole, "response_ids"), lengths(cut, "response_ids"), strict=True))
    assert cut.counts["sequences"] == 60
    assert cut.counts["prompts_cut"] == sum(before > after for before, after in prompts) > 0
    assert cut.counts["responses_cut"] == sum(before > after for before, after in responses) > 0
    assert cut.counts["tokens_dropped"] == sum(before - after for before, after in prompts + responses)
    assert whole.counts["tokens_dropped"] == 0


@pytest.mark.parametrize("mode", ["keep_end", "keep_start"])
def test_bos_survives_the_cut_of_a_prompt(mode: Mode) -> None:
    tok = tokenizer()
    prompt, limits = "a b c d e f g h i j k", Limits(12, 6, mode)
    ids = tok(prompt)["input_ids"]
    (tokens,) = encode(tok, [prompt], ["yes " * 10], limits, TruncationCounts())
    rest = ids[-5:] if mode == "keep_end" else ids[1:6]
    assert tokens.prompt_ids == [tok.bos_token_id, *rest]


def test_a_tag_that_is_the_bos_of_a_tokenizer_which_adds_none_is_not_put_into_a_cut_prompt() -> None:
    """SmolLM2's template begins with its BOS, <|im_start|>: where the prompt is cut, no message begins."""
    tok = copy.deepcopy(tokenizer())
    tok._tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
    prompt = f"{tok.bos_token}a b c d e f g h i j k"
    ids = tok(prompt)["input_ids"]
    (tokens,) = encode(tok, [prompt], ["yes " * 10], Limits(12, 6, "keep_end"), TruncationCounts())
    assert ids[0] == tok.bos_token_id and tokens.prompt_ids == ids[-6:]


def test_no_room_for_a_prompt_at_all() -> None:
    """max_prompt_length 0 is allowed by truncate(): nothing is left of a prompt that is too long, BOS neither."""
    tok = tokenizer()
    (tokens,) = encode(tok, ["a b c"], ["yes " * 10], Limits(4, 0, "keep_end"), TruncationCounts())
    assert tokens.prompt_ids == []
    assert len(tokens.response_ids) == 5


def test_pairs_keep_the_order_of_the_file() -> None:
    rows = world_rows(12)
    pairs = encode_pairs(rows, tokenizer(), WIDE)
    assert pairs.prompt_ids == [row["prompt_id"] for row in rows]
    decoded = [tokenizer().decode(tokens.response_ids, skip_special_tokens=True) for tokens in pairs.rejected]
    assert decoded == [row["rejected"] for row in rows]


def test_by_length_is_stable() -> None:
    sequences = [Tokens([1], [1, 1]), Tokens([1], [1]), Tokens([1, 1], [1]), Tokens([], [1])]
    assert by_length(sequences) == [3, 1, 0, 2]


def all_at_once(rows: list[dict[str, Any]], side: str, limits: Limits) -> list[Tokens]:
    """What encode_pairs gives where everything is in memory."""
    prompts = [render_prompt(row["prompt"]) for row in rows]
    return encode(tokenizer(), prompts, [row[side] for row in rows], limits, TruncationCounts())


@pytest.mark.parametrize("limits", [WIDE, Limits(30, 20, "keep_end")])
def test_rows_a_few_at_a_time_are_the_rows_at_once(
    limits: Limits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file, of which no more than 7 rows are in memory: the same sequences in the same order, and KTO's others."""
    monkeypatch.setattr(examples, "AT_A_TIME", 7)
    rows = world_rows(30)
    file = tmp_path / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    read = RowFile(file)
    assert len(read) == 30 and list(read) == rows
    others = [row | {side: other[side] for side in ("chosen", "rejected")} for row, other in
              zip(rows, [*rows[1:], rows[0]], strict=True)]  # fmt: skip
    for found, wanted in (
        (encode_pairs(read, tokenizer(), limits), rows),
        (encode_pairs(mismatched(read), tokenizer(), limits), others),
    ):
        assert list(found.chosen) == all_at_once(wanted, "chosen", limits)
        assert list(found.rejected) == all_at_once(wanted, "rejected", limits)
        assert found.prompt_ids == [row["prompt_id"] for row in rows]
        assert found.chosen[-1] == found.chosen[29] == found.chosen[20:][9]
        with pytest.raises(IndexError):
            found.chosen[30]


def test_groups_are_those_of_their_rows() -> None:
    rows = [
        {"prompt_id": str(n), **row} for n, row in enumerate(itertools.islice(generate.ranked_groups("dialogue", 0), 9))
    ]
    groups = encode_groups(rows, tokenizer(), WIDE)
    for row, group, scores in zip(rows, groups.responses, groups.scores, strict=True):
        assert scores == sorted(row["scores"], reverse=True)
        texts = [tokenizer().decode(tokens.response_ids, skip_special_tokens=True) for tokens in group]
        assert sorted(texts) == sorted(row["completions"])
        assert texts[0] == row["completions"][row["scores"].index(scores[0])]
    assert list(groups.flat) == [response for group in groups.responses for response in group]
    pairs, _ = pairs_of_groups(groups, "best_vs_worst", 0, None)
    assert list(pairs.chosen) == [group[0] for group in groups.responses]
    worst = [scores.index(scores[-1]) for scores in groups.scores]
    assert list(pairs.rejected) == [group[place] for group, place in zip(groups.responses, worst, strict=True)]


def test_fewer_responses_keep_their_scores_and_reference_log_probs() -> None:
    rows = [
        {"prompt_id": str(n), **row} for n, row in enumerate(itertools.islice(generate.ranked_groups("dialogue", 0), 9))
    ]
    groups = encode_groups(rows, tokenizer(), WIDE)
    reference = torch.arange(9 * 4, dtype=torch.float32).reshape(9, 4)
    two, two_reference = fewer_responses(groups, 2, 7, reference)
    assert two.width == 2 and two_reference is not None and two_reference.shape == (9, 2)
    for n in range(9):
        places = [int(value) - 4 * n for value in two_reference[n]]
        assert two.scores[n] == [groups.scores[n][place] for place in places]
        assert list(two.responses[n]) == [groups.responses[n][place] for place in places]
    three, _ = fewer_responses(groups, 3, 7, None)
    assert all(set(few) <= set(more) for few, more in zip(two.scores, three.scores, strict=True))
    assert len({tuple(int(value) % 4 for value in row) for row in two_reference}) > 1, "not the same places everywhere"
    four, same = fewer_responses(groups, 4, 7, reference)
    assert four.scores == groups.scores and same is not None and torch.equal(same, reference)


def test_encoded_pairs_take_little_memory() -> None:
    """Python's own allocations, held for each row: its id and two places; its tokens would be thousands of bytes."""
    first = world_rows(1)[0]
    n, long = 3000, " ".join([first["chosen"]] * 10)

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(n):
            yield first | {"prompt_id": f"{number:064}", "chosen": long, "rejected": long}

    limits, tok = Limits(1000, 500, "keep_end"), tokenizer()
    tracemalloc.start()
    pairs = encode_pairs(rows(), tok, limits)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 8 * sum(len(tokens.response_ids) for tokens in (pairs.chosen[0], pairs.rejected[n - 1])) > 2000
    assert held / n < 300


def test_a_training_of_k_responses_reads_k_of_each_group(tmp_path: Path) -> None:
    drawn = itertools.islice(generate.ranked_groups("dialogue", 0), 6)
    rows = [{"prompt_id": str(n), **row} for n, row in enumerate(drawn)]
    for part in ("train", "eval"):
        (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    limits = {"max_length": 1000, "max_prompt_length": 500, "truncation_mode": "keep_end", "cut_prompts": "always"}
    spec = {"training": limits, "part": "train", "pairs": "best_vs_each", "seed": 1}
    three, _ = training_inputs(spec | {"k": 3}, {"data": tmp_path}, method_of("swepo").NEEDS, tokenizer())
    assert three.groups is not None and [len(scores) for scores in three.groups.scores] == [3] * 6
    pairs, _ = training_inputs(spec | {"k": 3}, {"data": tmp_path}, method_of("dpo").NEEDS, tokenizer())
    below = [sum(score < max(scores) for score in scores) for scores in three.groups.scores]
    assert len(pairs.pairs.prompt_ids) == sum(below)
    whole, held_out = training_inputs(spec, {"data": tmp_path}, method_of("swepo").NEEDS, tokenizer())
    assert whole.groups is not None and whole.groups.width == 4
    assert held_out is not None and len(held_out.pairs.prompt_ids) == 6


def answered(prompts: str) -> list[dict[str, Any]]:
    return [{"prompt_id": p, "chosen": f"{p}{n}+", "rejected": f"{p}{n}-"} for n, p in enumerate(prompts)]


@pytest.mark.parametrize(
    ("prompts", "partners"),
    [("aabbcc", "bbccaa"), ("abc", "bca"), ("aab", "bba"), ("abaa", "babb"), ("aabaab", "bbabba")],
)
def test_a_mismatched_response_answers_another_prompt(prompts: str, partners: str) -> None:
    """Rows sorted by prompt, as in HH and TL;DR, where a prompt has several pairs: the next row is often its own."""
    rows = answered(prompts)
    found = list(mismatched(rows))
    assert [row["prompt_id"] for row in found] == list(prompts), "prompts stay in the file's order"
    assert "".join(row["chosen"][0] for row in found) == "".join(row["rejected"][0] for row in found) == partners


@pytest.mark.parametrize("prompts", ["a", "aaa"])
def test_one_prompt_alone_has_no_mismatched_response(prompts: str) -> None:
    with pytest.raises(UserError, match="expected at least two prompts"):
        list(mismatched(answered(prompts)))


def test_a_group_is_cut_by_its_longest_response() -> None:
    """Also where only another response of the group is too long: all responses of a prompt have one prompt."""
    tok = tokenizer()
    prompt = [{"role": "user", "content": "a b c d e f g h i j k"}]
    row = {"prompt_id": "p", "prompt": prompt, "completions": ["no", "yes " * 20], "scores": [1.0, 0.0]}
    whole = encode_groups([row], tok, WIDE).responses[0]
    n_prompt, longest = len(whole[0].prompt_ids), len(whole[1].response_ids)
    limits = Limits(n_prompt + longest - 1, n_prompt - 3, "keep_end")
    short, long = encode_groups([row], tok, limits).responses[0]
    assert short.prompt_ids == long.prompt_ids and len(short.prompt_ids) == n_prompt - 3
    assert long.response_ids == whole[1].response_ids
    assert encode_groups([row], tok, Limits(n_prompt + longest, n_prompt - 3, "keep_end")).responses[0] == whole
