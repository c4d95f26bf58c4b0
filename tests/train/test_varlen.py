"""The path that half dtypes take on CUDA, with a plain stand-in for torch's variable-length kernel."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.attention.varlen as kernels
import torch.nn.functional as F

from prefrepro.model import attention
from prefrepro.model.attention import Blocks
from prefrepro.model.packing import Block


def of_torch_2_11(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cu_seq_q: torch.Tensor, cu_seq_k: torch.Tensor,
    max_q: int, max_k: int, *, scale: float | None = None, window_size: tuple[int, int] = (-1, -1),
) -> torch.Tensor:  # fmt: skip
    """(T, H, D): each piece sees its keys up to its own, counted from the last; as many heads of keys as of queries."""
    assert query.shape[1] == key.shape[1] == value.shape[1]
    found, q_ends, k_ends = [], cu_seq_q.tolist(), cu_seq_k.tolist()
    for q0, q1, k0, k1 in zip(q_ends, q_ends[1:], k_ends, k_ends[1:], strict=False):
        q, k, v = (tensor.transpose(0, 1)[None] for tensor in (query[q0:q1], key[k0:k1], value[k0:k1]))
        distance = torch.arange(k1 - k0 - (q1 - q0), k1 - k0)[:, None] - torch.arange(k1 - k0)
        mask = (distance >= 0) & ((distance <= window_size[0]) | (window_size[0] < 0))
        found.append(F.scaled_dot_product_attention(q, k, v, mask, scale=scale)[0].transpose(0, 1))
    return torch.cat(found)


def of_torch_2_13(*tensors: Any, enable_gqa: bool = False, **more: Any) -> torch.Tensor:
    query, key, value, *lengths = tensors
    if enable_gqa:
        key, value = (t.repeat_interleave(query.shape[1] // key.shape[1], dim=1) for t in (key, value))
    return of_torch_2_11(query, key, value, *lengths, **more)


@pytest.mark.parametrize("window", [100, 4])
@pytest.mark.parametrize("heads", [2, 4])
@pytest.mark.parametrize("kernel", [of_torch_2_11, of_torch_2_13])
def test_both_releases_of_the_kernel_give_what_sdpa_gives(
    kernel: Any, heads: int, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "varlen_attn", kernel)
    blocks = Blocks((Block(5, (3, 7)), Block(6, ())), torch.device("cpu"))
    numbers = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, 21, 8, generator=numbers)
    key, value = (torch.randn(1, heads, 21, 8, generator=numbers) for _ in range(2))
    found, expected = (f(query, key, value, blocks, None, window) for f in (attention._varlen, attention._by_block))
    torch.testing.assert_close(found, expected)
