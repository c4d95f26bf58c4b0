"""Text to token ids: padding, labels, EOS and BOS, what truncation takes and counts."""

from __future__ import annotations

import pytest
from train_helpers import tokenizer, world_rows

from prefrepro.data.template import render_prompt
from prefrepro.data.truncate import Mode, TruncationCounts
from prefrepro.train.examples import Limits, Tokens, by_length, encode, encode_pairs

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
    for tokens in pairs.chosen + pairs.rejected:
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
