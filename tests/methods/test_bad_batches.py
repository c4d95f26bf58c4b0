"""What a batch may not be: each a ValueError that names the field, never a NaN loss or a silent broadcast."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from method_helpers import paired, ranked, unpaired

from methods import dpo_own_weight, kto, rpo_integrated, rpo_ot, rpo_paired, rpo_unpaired, rpo_z
from methods.contract import RolloutBatch


def test_missing_inputs_are_named() -> None:
    with pytest.raises(ValueError, match=r"rpo_paired wants PairedBatch\.embeddings"):
        rpo_paired.loss(paired([1], [0]), rpo_paired.Hparams())
    with pytest.raises(ValueError, match=r"dpo_own_weight wants PairedBatch\.embeddings"):
        dpo_own_weight.loss(paired([1], [0]), dpo_own_weight.Hparams())
    with pytest.raises(ValueError, match="rpo_unpaired wants embeddings of both sides"):
        rpo_unpaired.loss(unpaired([1], [0]), rpo_unpaired.Hparams())
    with pytest.raises(ValueError, match="rpo_ot wants embeddings of both sides"):
        rpo_ot.loss(unpaired([1], [0]), rpo_ot.Hparams())
    with pytest.raises(ValueError, match="rpo_integrated wants embeddings of prompt"):
        rpo_integrated.loss(unpaired([1], [0]), rpo_integrated.Hparams())
    with pytest.raises(ValueError, match=r"rpo_z wants .* reference_rewards"):
        rpo_z.loss(paired([1], [0], torch.eye(1)), rpo_z.Hparams())
    with pytest.raises(ValueError, match=r"kto wants UnpairedBatch\.policy_mismatched_logps"):
        kto.loss(unpaired([1], [0]), kto.Hparams())
    with pytest.raises(ValueError, match="at least one mismatched response"):
        kto.loss(unpaired([1], [0], mismatched=[]), kto.Hparams())


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"PairedBatch\.policy_rejected_logps has shape \(1,\), expected \(2,\)"):
        paired([1, 2], [0])
    with pytest.raises(ValueError, match=r"PairedBatch\.embeddings has shape \(1, 6\), expected \(2, any\)"):
        paired([1, 2], [0, 0], torch.zeros(1, 6))
    with pytest.raises(ValueError, match=r"PairedBatch\.reference_rewards has shape \(2,\), expected \(2, any\)"):
        replace(paired([1, 2], [0, 0]), reference_rewards=torch.zeros(2))
    with pytest.raises(ValueError, match=r"UnpairedBatch\.rejected_embeddings has shape \(1, 7\), expected \(1, 6\)"):
        unpaired([1, 2], [0], torch.zeros(2, 6), torch.zeros(1, 7))
    with pytest.raises(ValueError, match=r"UnpairedBatch\.ref_mismatched_logps has shape \(1,\), expected \(2,\)"):
        replace(unpaired([1], [0], mismatched=[0, 0]), ref_mismatched_logps=torch.zeros(1))
    with pytest.raises(ValueError, match=r"RankedBatch\.scores has shape \(1, 3\), expected \(1, 2\)"):
        replace(ranked([[1, 2]], [[1, 2]]), scores=torch.zeros(1, 3))
    whole = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"RolloutBatch\.old_values has shape \(2, 2\), expected \(2, 3\)"):
        RolloutBatch(whole, whole, whole, whole, whole[:, :2], whole, whole.bool())


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_refused(score: float) -> None:
    with pytest.raises(ValueError, match=r"RankedBatch\.scores: rows \[1\] hold NaN or infinity"):
        ranked([[1, 2], [1, 2]], [[1, 2], [3, score]])


def test_a_prompt_without_a_response_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rows \[0\] have no response"):
        ranked([[], [1, 2]], [[], [1, 2]])
