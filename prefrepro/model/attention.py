"""Attention over a packed row, and the decoder call that leads to it, for unmodified transformers models.

A block's prompt attends to itself; each of its responses to the prompt and to itself. Sliding windows are kept, layer
by layer.
"""

from __future__ import annotations

import inspect
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from prefrepro.model import cpu_attention
from prefrepro.model.packing import Block, PackedTokens

NAME = "prefrepro_packed"
MODEL_TYPES = frozenset({"llama", "mistral", "qwen2", "qwen3", "phi3", "olmo2", "granite"})
"""Architectures for which a test holds that packed and padded log-probs and gradients are equal."""
ONE_CALL = 128
"""Tokens of a block that one SDPA call with a mask reads sooner than a call for each response reads its own keys."""


class Blocks:
    """The blocks of one row, and what their attention needs, made once for all layers."""

    def __init__(self, blocks: tuple[Block, ...], device: torch.device) -> None:
        self.blocks, self.device = blocks, device
        self.lengths = [length for block in blocks for length in (block.prompt, *block.responses)]
        self._masks: dict[tuple[int, int, int], Tensor | None] = {}
        self._whole: dict[tuple[Block, int], Tensor] = {}
        self._biases: dict[tuple[int, int, int], Tensor] = {}
        self._pieces: dict[tuple[int, int], list[cpu_attention.Piece]] = {}
        self._varlen: tuple[Tensor, Tensor, Tensor, int, int] | None = None

    def mask(self, before: int, length: int, window: int) -> Tensor | None:
        """(length, before + length) bool: which keys `length` queries see that stand after `before` others.

        None where that is the plain causal mask of a square.
        """
        key = before, length, window
        if key not in self._masks:
            is_plain = before == 0 and length <= window
            mask = torch.ones(0 if is_plain else length, before + length, dtype=torch.bool, device=self.device)
            self._masks[key] = None if is_plain else mask.tril_(before).triu_(before - window + 1)
        return self._masks[key]

    def whole_mask(self, block: Block, window: int) -> Tensor:
        """(L, L) bool of a whole block: which of its tokens each of them sees."""
        if (block, window) not in self._whole:
            places = [(0, at) for at in range(block.prompt)]
            for number, length in enumerate(block.responses, start=1):
                places += [(number, block.prompt + at) for at in range(length)]
            part, position = torch.tensor(places, device=self.device).T
            distance = position[:, None] - position
            is_own = (part == 0) | (part == part[:, None])
            self._whole[block, window] = is_own & (distance >= 0) & (distance < window)
        return self._whole[block, window]

    def pieces(self, window: int, share: int) -> list[cpu_attention.Piece]:
        """For `cpu_attention.attend`: each short block, or else each prompt and each response."""
        key = window, share
        if key not in self._pieces:
            found, start = [], 0
            for block in self.blocks:
                is_one = bool(block.responses) and len(block) <= ONE_CALL
                first = slice(start, start + (len(block) if is_one else block.prompt))
                mask = self.whole_mask(block, window) if is_one else self.mask(0, block.prompt, window)
                found.append(cpu_attention.Piece(first, (first,), self._bias(mask, first.stop - start, share)))
                start = first.stop
                for length in () if is_one else block.responses:
                    own, mask = slice(start, start + length), self.mask(block.prompt, length, window)
                    found.append(cpu_attention.Piece(own, (first, own), self._bias(mask, length, share)))
                    start = own.stop
            self._pieces[key] = found
        return self._pieces[key]

    def _bias(self, mask: Tensor | None, length: int, share: int) -> Tensor:
        """`cpu_attention.bias_of` a mask that is held here, made once."""
        key = id(mask), length, share
        if key not in self._biases:
            self._biases[key] = cpu_attention.bias_of(mask, length, share)
        return self._biases[key]

    def varlen(self) -> tuple[Tensor, Tensor, Tensor, int, int]:
        """Places of the keys (a prompt's once for itself and once for each response), the queries' and the keys'
        cumulative lengths as int32, and the longest of either."""
        if self._varlen is None:
            places: list[int] = []
            key_lengths, start = [], 0
            for block in self.blocks:
                prompt = range(start, start + block.prompt)
                places += prompt
                key_lengths.append(block.prompt)
                start += block.prompt
                for length in block.responses:
                    places += [*prompt, *range(start, start + length)]
                    key_lengths.append(block.prompt + length)
                    start += length
            cumulative = [
                torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=self.device)
                for lengths in (self.lengths, key_lengths)
            ]
            at = torch.tensor(places, device=self.device)
            self._varlen = at, cumulative[0], cumulative[1], max(self.lengths), max(key_lengths)
        return self._varlen


def _by_block(query: Tensor, key: Tensor, value: Tensor, blocks: Blocks, scale: float | None, window: int) -> Tensor:
    """One call for each short block, or else for each prompt and each response; (1, H, T, D) each."""
    is_grouped = query.shape[1] != key.shape[1]
    if cpu_attention.suits(query):
        return cpu_attention.attend(query, key, value, blocks.pieces(window, query.shape[1] // key.shape[1]), scale)

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=is_grouped
        )

    whole = [bool(block.responses) and len(block) <= ONE_CALL for block in blocks.blocks]
    cut = [(len(b),) if is_one else (b.prompt, *b.responses) for b, is_one in zip(blocks.blocks, whole, strict=True)]
    lengths = [length for part in cut for length in part]
    # split, not slices: backward of a split is one concatenation, of slices one tensor of zeros each.
    pieces = zip(*(tensor.split(lengths, dim=2) for tensor in (query, key, value)), strict=True)
    found = []
    for block, is_one, part in zip(blocks.blocks, whole, cut, strict=True):
        q, prompt_k, prompt_v = next(pieces)
        mask = blocks.whole_mask(block, window) if is_one else blocks.mask(0, block.prompt, window)
        found.append(attend(q, prompt_k, prompt_v, mask))
        for length in part[1:]:
            q, k, v = next(pieces)
            mask = blocks.mask(block.prompt, length, window)
            found.append(attend(q, torch.cat((prompt_k, k), 2), torch.cat((prompt_v, v), 2), mask))
    return torch.cat(found, dim=2)


def _varlen(query: Tensor, key: Tensor, value: Tensor, blocks: Blocks, scale: float | None, window: int) -> Tensor:
    """One call of torch's variable-length flash kernel, whose causal mask is aligned to the last key."""
    from torch.nn.attention.varlen import varlen_attn

    places, queries, keys, most_queries, most_keys = blocks.varlen()
    left = window - 1 if window <= most_keys else -1
    more, repeats = {}, query.shape[1] // key.shape[1]
    if "enable_gqa" in inspect.signature(varlen_attn).parameters:
        more["enable_gqa"] = repeats > 1
    elif repeats > 1:  # torch 2.11
        key, value = (tensor.repeat_interleave(repeats, dim=1) for tensor in (key, value))
    found = varlen_attn(
        query[0].transpose(0, 1).contiguous(),
        key[0].transpose(0, 1)[places],
        value[0].transpose(0, 1)[places],
        queries,
        keys,
        most_queries,
        most_keys,
        scale=scale,
        window_size=(left, 0),
        **more,
    )
    assert isinstance(found, Tensor)
    return found.transpose(0, 1)[None]


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    blocks: Blocks | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """As transformers calls it, (B, H, T, D) to (B, T, H, D): its own SDPA, but where `blocks` come with the call."""
    if blocks is None:
        kwargs["sliding_window"] = sliding_window
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    window = sliding_window or query.shape[2]
    is_half = query.is_cuda and query.dtype in (torch.bfloat16, torch.float16)
    engine = _varlen if is_half else _by_block
    return engine(query, key, value, blocks, scaling, window).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def can_pack(model: Any) -> bool:
    """Whether packed log-probs of this architecture are known to equal the padded ones."""
    return model.config.get_text_config().model_type in MODEL_TYPES


def hidden_states(model: Any, packed: PackedTokens) -> Tensor:
    """(R · T, H) after the final norm, of padded rows or of one packed row."""
    more: dict[str, Any] = {"attention_mask": packed.attention_mask}
    if packed.blocks:
        if model.config._attn_implementation != NAME:
            model.set_attn_implementation(NAME)
        no_mask = packed.input_ids.new_ones(1, 1, 1, 1)  # four dimensions: transformers hands it on as it is
        blocks = Blocks(packed.blocks, packed.input_ids.device)
        more = {"attention_mask": no_mask, "position_ids": packed.position_ids, "blocks": blocks}
    return model.base_model(input_ids=packed.input_ids, use_cache=False, **more).last_hidden_state.flatten(0, 1)
