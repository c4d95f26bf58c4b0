"""Every golden case, one test each: losses, mean, gradients, rewards and weights as the releases give them.

float64: the case's own tolerance. float32: 1e-5 relative, and absolute what float32 itself can move. A log-prob l
is off by up to |l|·2⁻²⁴, so a margin of four of them by δ = 4 · max|l| · 2⁻²⁴; a reward moves by β·δ, and a loss
and its gradient by the first and second derivative times that (`derivatives`). For β = 0.1 and max|l| = 1400,
among them the log-ratios of ±1e3, that is 3e-5 on a logistic loss of up to 200 and 8e-7 on its gradient of up to
0.1.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from golden_runners import RUNNERS, Case, Outputs, tensor
from unseen import unseen_cases

FLOAT64_ONLY = {"rmsprop_warmup", "rpo_paired_bf16_as_run", *(op for op in RUNNERS if op.endswith("_order"))}
"""Updates of 3e-9 vanish in float32 weights (docs/protocol.md#optimiser), one op names its own two precisions, and an
order has none."""


def golden_cases(config: pytest.Config) -> list[Case]:
    """The cases of the .json or .json.gz file that --golden names; "NaN" and "Infinity" are strings there."""
    path = Path(str(config.getoption("golden")))
    raw = path.read_bytes()
    return json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)["cases"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per covered case of the file that --golden names, so that another file needs no edit here."""
    if "case" in metafunc.fixturenames:
        cases = [case for case in golden_cases(metafunc.config) if case["op"] in RUNNERS]
        if metafunc.function is test_float32:
            cases = [case for case in cases if case["op"] not in FLOAT64_ONLY]
        metafunc.parametrize("case", cases, ids=[case["id"] for case in cases])


def assert_matches(case: Case, actual: Outputs, rtol: float, atol: Callable[[str], float]) -> None:
    """Every output of the case has a recomputed twin that is close to it; NaN wants NaN."""
    for name, expected in case["outputs"].items():
        assert name in actual, f"{case['id']}: nothing recomputes the output {name}"
        twin = torch.as_tensor(actual[name], dtype=torch.float64).detach()
        torch.testing.assert_close(
            twin,
            tensor(expected, torch.float64),
            rtol=rtol,
            atol=atol(name),
            equal_nan=True,
            msg=lambda found, name=name: f"{case['id']}, {name}: {found}",
        )


def derivatives(case: Case) -> tuple[float, float]:
    """Bounds of a loss's first and second derivative by a margin in nats."""
    beta = case["params"]["beta"]
    if case["op"] == "ipo":  # a square
        return 2 * max(float(loss) for loss in case["outputs"]["losses"]) ** 0.5, 2
    if "policy_logps" in case["inputs"]:  # K responses: a logsumexp adds as much rounding of its own
        return 2 * beta, beta**2
    return beta, beta**2 / 4  # −logsigmoid; σ is flatter


def input_rounding(case: Case, name: str) -> float:
    """What float32 alone can move the output `name` by (module docstring)."""
    if "beta" not in case["params"]:
        return 1e-5  # token log-probs of logits up to 20, a dozen to a sum
    if name in ("weights", "soft_labels"):
        return 2**-24  # shares of 1
    logps = (value for key, value in case["inputs"].items() if key.endswith("_logps"))
    delta = 4 * max(abs(value) for side in logps for value in tensor(side, torch.float64).flatten().tolist()) * 2**-24
    first, second = derivatives(case)
    if name == "KL":
        return delta
    if name.startswith("grad_"):
        return second * delta
    return (case["params"]["beta"] if name.endswith("_rewards") else first) * delta


def test_float64(case: Case) -> None:
    """Within the tolerance that the case names."""
    actual = RUNNERS[case["op"]](case, torch.float64)
    assert_matches(case, actual, case["tol"]["rtol"], lambda _: case["tol"]["atol"])


def test_float32(case: Case) -> None:
    """Within 1e-5 relative, and absolute what the rounding of the inputs explains (module docstring)."""
    actual = RUNNERS[case["op"]](case, torch.float32)
    assert_matches(case, actual, 1e-5, lambda name: input_rounding(case, name))


@pytest.mark.parametrize("seed", [20261121])
def test_other_shapes(seed: int) -> None:
    """Cases recomputed apart from our code and from torch: M ≠ N, one pair, K from 2 to 6 (unseen.py)."""
    cases = unseen_cases(seed)
    assert {case["op"] for case in cases} <= set(RUNNERS)
    for case in cases:
        test_float64(case)
        test_float32(case)


def test_no_op_is_left_out(pytestconfig: pytest.Config) -> None:
    """A case without a runner would be dropped in silence."""
    counts = Counter(case["op"] for case in golden_cases(pytestconfig))
    left = {op: n for op, n in counts.items() if op not in RUNNERS}
    assert not left, f"{sum(left.values())} golden cases without a runner: {left}"
