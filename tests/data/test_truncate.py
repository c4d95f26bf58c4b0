"""Truncation against docs/protocol.md#truncation, by cases worked by hand and by properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefrepro.data.truncate import Mode, TruncationCounts, TruncationFlags, truncate
from prefrepro.errors import UserError


@pytest.mark.parametrize(
    ("n_prompt", "n_response", "kept_prompt", "kept_response"),
    [
        (4, 4, 4, 4),  # just fits
        (7, 1, 7, 1),  # a long prompt stays whole while all fits
        (7, 2, 4, 2),  # too long, and the prompt too: the prompt is cut to 4
        (7, 6, 4, 4),  # still too long: the response gets what is left, 8 - 4
        (2, 9, 2, 6),  # the prompt is short: the response gets 8 - 2, more than 8 - 4
        (4, 9, 4, 4),
        (0, 9, 0, 8),
    ],
)
@pytest.mark.parametrize("mode", ["keep_end", "keep_start"])
def test_prompt_is_cut_first_then_the_response(
    n_prompt: int, n_response: int, kept_prompt: int, kept_response: int, mode: Mode
) -> None:
    prompt, response = list(range(n_prompt)), list(range(100, 100 + n_response))
    cut_prompt, cut_response, flags = truncate(prompt, response, 8, 4, mode)
    assert cut_prompt == (prompt[n_prompt - kept_prompt :] if mode == "keep_end" else prompt[:kept_prompt])
    assert cut_response == response[:kept_response]
    dropped = n_prompt - kept_prompt + n_response - kept_response
    assert flags == TruncationFlags(kept_prompt < n_prompt, kept_response < n_response, dropped)


tokens = st.lists(st.integers(0, 9), max_size=40)


@given(tokens, tokens, st.integers(1, 30), st.data(), st.sampled_from(["keep_end", "keep_start"]))
def test_properties(prompt: list[int], response: list[int], max_length: int, data: st.DataObject, mode: Mode) -> None:
    max_prompt = data.draw(st.integers(0, max_length - 1))
    given_prompt, given_response = list(prompt), list(response)
    kept_prompt, kept_response, flags = truncate(prompt, response, max_length, max_prompt, mode)
    assert (prompt, response) == (given_prompt, given_response)  # inputs are left alone
    assert len(kept_prompt) + len(kept_response) <= max_length
    assert flags.tokens_dropped == len(prompt) + len(response) - len(kept_prompt) - len(kept_response)
    assert flags.is_prompt_cut == (kept_prompt != prompt)
    assert flags.is_response_cut == (kept_response != response)
    if flags.is_prompt_cut:
        assert len(kept_prompt) == max_prompt
    if flags.is_response_cut:
        assert len(kept_prompt) + len(kept_response) == max_length
    # a second pass changes nothing
    assert truncate(kept_prompt, kept_response, max_length, max_prompt, mode)[2] == TruncationFlags()


def test_a_prompt_limit_of_zero_drops_the_prompt() -> None:
    assert truncate([1, 2], [3, 4], 3, 0)[:2] == ([], [3, 4])


def test_counts_add_up() -> None:
    counts = TruncationCounts()
    for n_prompt, n_response in ((7, 6), (2, 9), (1, 1)):
        counts.add(truncate(range(n_prompt), range(n_response), 8, 4)[2])
    assert counts == TruncationCounts(sequences=3, prompts_cut=1, responses_cut=2, tokens_dropped=5 + 3)


def test_impossible_limits_are_refused() -> None:
    for max_length, max_prompt in ((4, 4), (4, 9), (4, -1)):
        with pytest.raises(UserError, match="expected 0 ≤ max_prompt_length < max_length"):
            truncate([1], [2], max_length, max_prompt)
