"""Where the Swepo text contradicts itself outside its theory: docs/protocol.md#swepo-contradictions."""

from __future__ import annotations

from prefrepro.studies.theory.claims import Claim

WR_BEST = 11.94  # Table 1, Swepo (k1 vs k2) (p=2), AlpacaEval2 WR
WR_K1 = 8.41  # Table 1, DPO x (k-1)
WR_RANDOM = 9.37  # Table 1, best vs random


def claims() -> list[Claim]:
    return [
        Claim("Text: Tables 1 and 3", "Swepo (1 vs k) (p = 0), AlpacaEval2 LC-WR: the same cell in both tables",
              "Table 1 (expected), Table 3 (measured) [tables]", 15.19, 15.18, 0, is_inconsistent=True),
        Claim("Text: 42 %", "relative gain in WR over the best preference baseline, in percent",
              "text; Table 1 [tables]", 42, 100 * (WR_BEST / WR_RANDOM - 1), 0.5,
              f"42 is the gain over DPO x (k-1) ({WR_K1}: {100 * (WR_BEST / WR_K1 - 1):.1f} %); best vs random has the "
              f"higher WR ({WR_RANDOM}), over which the gain is measured here.", is_inconsistent=True),
        Claim("Text: weights", "Section 3 defines exponential weights, every printed run uses powers",
              "Eq. 5-6 against Eq. 15-16 and Tables 1-4 [tables]", note="methods/swepo has both, and both are "
              "checked: Lemma 2/6, Theorem 2/4, Lemma 3/10", is_inconsistent=True),
        Claim("Text: Evaluator LM", "the column « Evaluator LM» holds the policy, not a judge", "Tables [tables]",
              is_inconsistent=True),
        Claim("Text: InfoNCA (Paper)", "those rows start from mistral-7b-sft-beta with QLoRA, all others from "
              "Mistral-7B-Instruct-v0.1", "Table 1 [tables]", is_inconsistent=True),
    ]  # fmt: skip
