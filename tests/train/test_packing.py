"""Where tokens stand in padded and in packed rows, derived by hand."""

from __future__ import annotations

import pytest
import torch

from prefrepro.model.attention import Blocks
from prefrepro.model.examples import Tokens
from prefrepro.model.packing import MIN_SHARED, Block, PackedTokens, pack, pad

PROMPT = list(range(10, 10 + MIN_SHARED))


def predicted(laid: PackedTokens) -> list[tuple[int, int, int]]:
    """(sequence, token before, token) of each response token."""
    before = laid.input_ids.flatten()[laid.logit_positions]
    return list(zip(laid.sequence_ids.tolist(), before.tolist(), laid.targets.tolist(), strict=True))


def test_padding_and_mask() -> None:
    """Pad id 9. Prompt 1 2, response 3 4; prompt 5, response 6."""
    laid = pad([Tokens([1, 2], [3, 4]), Tokens([5], [6])], pad_id=9)
    assert laid.input_ids.tolist() == [[1, 2, 3, 4], [5, 6, 9, 9]]
    assert laid.attention_mask is not None
    assert laid.attention_mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert predicted(laid) == [(0, 2, 3), (0, 3, 4), (1, 5, 6)]
    assert laid.ends.tolist() == [3, 5]


def test_a_pad_token_that_is_eos_keeps_the_closing_eos_predicted() -> None:
    """Hub tokenizers without a pad token pad with EOS."""
    laid = pad([Tokens([1, 2], [3, 9]), Tokens([5], [9])], pad_id=9)
    assert predicted(laid) == [(0, 2, 3), (0, 3, 9), (1, 5, 9)]


def test_a_shared_prompt_stands_once() -> None:
    """Three responses, the second one to another prompt, too short to be shared."""
    laid = pack([Tokens(PROMPT, [1, 2]), Tokens([5], [6]), Tokens(PROMPT, [3])])
    end = PROMPT[-1]
    assert laid.input_ids.tolist() == [[*PROMPT, 1, 2, 3, 5, 6]]
    n = MIN_SHARED
    assert laid.position_ids.tolist() == [[*range(n), n, n + 1, n, 0, 1]]
    assert laid.blocks == (Block(n, (2, 1)), Block(2, ()))
    assert predicted(laid) == [(0, end, 1), (0, 1, 2), (2, end, 3), (1, 5, 6)]
    assert laid.ends.tolist() == [n + 1, n + 4, n + 2]


def test_prompts_are_repeated_where_they_are_not_to_be_shared() -> None:
    laid = pack([Tokens(PROMPT, [1, 2]), Tokens(PROMPT, [3])], share_prompts=False)
    assert laid.input_ids.tolist() == [[*PROMPT, 1, 2, *PROMPT, 3]]
    assert laid.blocks == (Block(MIN_SHARED + 2, ()), Block(MIN_SHARED + 1, ()))


@pytest.mark.parametrize("lay", [lambda s: pad(s, 0), pack], ids=["padded", "packed"])
def test_without_a_prompt_the_first_token_is_not_predicted(lay) -> None:
    laid = lay([Tokens([], [4, 5, 6]), Tokens([], [7])])
    assert predicted(laid) == [(0, 4, 5), (0, 5, 6)]


def test_masks_by_hand() -> None:
    """Two tokens after three others, of which a window of three lets the first query see two and the second one."""
    blocks = Blocks((Block(3, (2,)),), torch.device("cpu"))
    assert blocks.mask(0, 3, 8) is None
    assert blocks.mask(3, 2, 8).int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]  # pyright: ignore
    assert blocks.mask(3, 2, 3).int().tolist() == [[0, 1, 1, 1, 0], [0, 0, 1, 1, 1]]  # pyright: ignore
    assert blocks.mask(0, 3, 2).int().tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]  # pyright: ignore


def test_keys_of_the_variable_length_kernel_by_hand() -> None:
    """Prompt 0 1, responses 2 and 3 4; a plain sequence 5 6: a response has the prompt's keys before its own."""
    blocks = Blocks((Block(2, (1, 2)), Block(2, ())), torch.device("cpu"))
    places, queries, keys, most_queries, most_keys = blocks.varlen()
    assert places.tolist() == [0, 1, 0, 1, 2, 0, 1, 3, 4, 5, 6]
    assert queries.tolist() == [0, 2, 3, 5, 7]
    assert keys.tolist() == [0, 2, 5, 9, 11]
    assert (most_queries, most_keys) == (2, 4)
