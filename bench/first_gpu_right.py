"""Sections of bench.first_gpu that ask whether a GPU computes what the CPU does: device, attention, methods, resume."""

from __future__ import annotations

import contextlib
import copy
import math
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.campaign import RATE
from bench.first_gpu_cases import (
    OF_DATA,
    SEED,
    TINY,
    Case,
    Found,
    Place,
    inputs_of,
    learner_of,
    losses_of,
    model_of,
    settings,
)
from bench.gpu import make_inputs, rate_of
from bench.shapes import draw_lengths
from bench.workload import PAD, word_tokenizer
from methods.contract import Needs
from prefrepro.files import ROOT
from prefrepro.model.examples import Tokens
from prefrepro.model.load import load_model, save_model
from prefrepro.model.policy import Layout, Policy
from prefrepro.model.training import RolloutSettings, Training
from prefrepro.plan.memory import GIB, Shape
from prefrepro.provenance import versions
from prefrepro.specs.files import read_mapping
from prefrepro.specs.method import method_names, read_method
from prefrepro.train.sharded import whole_weights

OF_POLICY = RolloutSettings(responses="policy", ppo_epochs=1, minibatches=1, max_head_grad_norm=0.1, max_new_tokens=12)
OLDEST = {"torch": (2, 11), "transformers": (5, 17)}
"""pyproject.toml"""
WITHIN = {"float32": 1e-3, "bfloat16": 0.02}
"""Largest difference of a step's loss to the CPU's, of the largest loss of the run or of `SMALL`. Sums go in another
order, and bfloat16 rounds every activation: on a CPU it moved these losses by at most 0.8 %."""
SMALL = 0.1
FACTOR = 2.0
"""Packed bfloat16 may be so many times as far from float32 as padded bfloat16 is."""


def device(place: Place) -> Iterator[Case]:
    """What the machine is, and what this torch can do on it."""

    def stated() -> Found:
        found = versions("torch", "transformers", "tokenizers", "accelerate", "trl", "peft", "bitsandbytes")
        numbers = {name: tuple(int(part) for part in found[name].split("+")[0].split(".")[:2]) for name in OLDEST}
        cuda = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}" if place.is_gpu else "no CUDA"
        return Found(
            ", ".join(f"{name} {number}" for name, number in found.items()) + f", {cuda}",
            all(numbers[name] >= oldest for name, oldest in OLDEST.items()),
        )

    def memory() -> Found:
        if not place.is_gpu:
            return Found("no CUDA device")
        properties = torch.cuda.get_device_properties(place.device)
        gib = properties.total_memory / GIB
        capability = f"{properties.major}.{properties.minor}"
        return Found(f"{properties.name}, {gib:.1f} GiB, capability {capability}", place.judged(gib >= card))

    def rate() -> Found:
        found = rate_of(place.device)
        return Found(f"{found / 1e12:.3g} TFLOP/s", place.judged(found >= 0.9 * RATE))

    def kernel() -> Found:
        from torch.nn.attention import varlen

        has = [name for name in ("varlen_attn", "varlen_attn_out") if hasattr(varlen, name)]
        return Found(", ".join(has) or "none", "varlen_attn" in has)

    card = read_mapping(ROOT / "config/scales/paper.yaml")["resources"]["default"]["device_gib"]
    oldest = ", ".join(f"{name} ≥ {'.'.join(map(str, number))}" for name, number in OLDEST.items())
    yield Case("versions", "these releases are supported", oldest, stated)
    yield Case("memory", "config/scales/paper.yaml plans with `device_gib` of an H200", f"≥ {card} GiB", memory)
    yield Case("matrix rate", "bench/campaign.py counts with this rate", f"{RATE / 1e12:.0f} TFLOP/s ± 10 %", rate)
    yield Case("varlen kernel", "torch has the kernel that bfloat16 on CUDA takes", "varlen_attn", kernel)


def varlen(place: Place) -> Iterator[Case]:
    """Packed log-probs and gradients beside padded ones, in the dtype that takes the variable-length kernel."""
    for head_dim in (64, 128):
        for kv_heads in (4, 1):
            for window in (None, 16):
                heads = "grouped heads" if kv_heads == 1 else "a key for each query head"
                text = "window of 16 tokens" if window else "no window"
                yield Case(
                    f"head size {head_dim}, {heads}, {text}",
                    "packed rows give the padded rows' log-probs and gradients",
                    f"bfloat16 at most {FACTOR:g} × as far from float32 as padded bfloat16; float32 to 1e-4",
                    partial(_attention, place, head_dim, kv_heads, window),
                )


def _attention(place: Place, head_dim: int, kv_heads: int, window: int | None) -> Found:
    shape = Shape(4 * head_dim, 1 if place.is_tiny else 2, 4, kv_heads, head_dim, 2 * head_dim, 256)
    # Wider than usual: with the usual 0.02 a random model attends to all tokens alike.
    model = model_of(shape, place.device, model_type="mistral", sliding_window=window, initializer_range=0.06)
    pairs = make_inputs(draw_lengths(2 if place.is_tiny else 6, (40.0, 40.0), cap=160), shape.vocab_size).pairs
    sequences = [*pairs.chosen, *pairs.rejected]

    def read(dtype: torch.dtype, layout: Layout) -> tuple[Tensor, Tensor]:
        policy = Policy(copy.deepcopy(model).to(dtype), PAD, layout=layout)
        assert policy.layout == layout
        values = policy(sequences)
        (values * torch.linspace(-1, 1, len(values)).to(values)).sum().backward()
        gradients = [p.grad.float().flatten() for p in policy.model.parameters() if p.grad is not None]
        return values.detach().cpu().double(), torch.cat(gradients).cpu().double()

    exact = read(torch.float32, "padded")

    def error(found: tuple[Tensor, Tensor]) -> tuple[float, float]:
        logps = (found[0] - exact[0]).norm() / exact[0].norm()
        return float(logps), float((found[1] - exact[1]).norm() / exact[1].norm())

    wide = error(read(torch.float32, "shared"))
    narrow, padded = (error(read(torch.bfloat16, layout)) for layout in ("shared", "padded"))
    is_near = all(own <= FACTOR * other + 1e-4 for own, other in zip(narrow, padded, strict=True))
    return Found(
        f"bfloat16: log-probs off by {narrow[0]:.1e} (padded {padded[0]:.1e}), gradients {narrow[1]:.1e} "
        f"(padded {padded[1]:.1e}); float32: {wide[0]:.1e}, {wide[1]:.1e}",
        is_near and max(wide) <= 1e-4,
    )


def methods(place: Place) -> Iterator[Case]:
    """Every method through the project's trainer, five steps, on the CPU and on the device."""
    for dtype, within in WITHIN.items():
        for name in method_names():
            yield Case(
                f"{name}, {dtype}",
                "the device gives the CPU's losses",
                f"within {within:g} of the largest loss",
                partial(_method, place, name, dtype),
            )
    yield Case("ppo on its own responses", "rollouts are sampled on the device", "finite losses", partial(_own, place))


def _learner(place: Place, name: str, dtype: str, device: torch.device, is_own: bool = False, **changes: Any) -> Any:
    needs = Needs(**read_method(name).needs)
    model = model_of(TINY, torch.device("cpu"), initializer_range=0.06)
    if needs.output == "score":
        from transformers import AutoModelForSequenceClassification

        model.config.num_labels = 1
        torch.manual_seed(SEED)
        model = AutoModelForSequenceClassification.from_config(model.config)
    policy = Policy(model.to(device), PAD, needs.output)
    rollout = (OF_POLICY if is_own else OF_DATA) if needs.shape == "rollout" else None
    training = Training(**settings(compute_dtype=dtype, rollout=rollout, lr=1e-4, **changes))
    return learner_of(name, policy, inputs_of(needs, TINY.vocab_size), training, is_own)


def _method(place: Place, name: str, dtype: str) -> Found:
    expected = losses_of(_learner(place, name, dtype, torch.device("cpu")))
    found = losses_of(_learner(place, name, dtype, place.device))
    largest = max(SMALL, *map(abs, expected))
    difference = max(abs(a - b) for a, b in zip(found, expected, strict=True)) / largest
    texts = [" ".join(f"{loss:.5g}" for loss in losses) for losses in (found, expected)]
    return Found(f"{difference:.1e} ({texts[0]}; CPU {texts[1]})", difference <= WITHIN[dtype])


def _own(place: Place) -> Found:
    losses = losses_of(_learner(place, "ppo", "bfloat16", place.device, is_own=True))
    return Found(" ".join(f"{loss:.4g}" for loss in losses), all(map(math.isfinite, losses)))


def mixed(place: Place) -> Iterator[Case]:
    """One rank, float32 weights, bfloat16 compute: interrupted, resumed, saved and read again."""

    def resumed() -> Found:
        changes: dict[str, Any] = {"max_steps": 6, "checkpoint_every": 2}
        whole = losses_of(_learner(place, "dpo", "bfloat16", place.device, **changes))
        with tempfile.TemporaryDirectory() as folder:
            with contextlib.suppress(KeyboardInterrupt):
                losses_of(_learner(place, "dpo", "bfloat16", place.device, **changes), Path(folder), stop_after=5)
            kept = sorted(path.name for path in Path(folder).glob("step-*"))
            losses = losses_of(_learner(place, "dpo", "bfloat16", place.device, **changes), Path(folder))
        difference = max(abs(a - b) for a, b in zip(losses, whole, strict=True)) / max(map(abs, whole))
        is_so = difference <= WITHIN["float32"] and any("4" in name for name in kept)
        return Found(f"{difference:.1e}; checkpoints {', '.join(kept)}", is_so)

    def saved() -> Found:
        learner = _learner(place, "dpo", "bfloat16", place.device)
        losses_of(learner)
        model = learner.modules["model"]
        weights = whole_weights(learner.policy.model) if place.is_gpu else None
        with tempfile.TemporaryDirectory() as folder:
            save_model(model, word_tokenizer(TINY.vocab_size), Path(folder), weights)
            read = load_model(folder, "float32", place=torch.device("cpu"))
        sequences = [Tokens([1, 5, 6, 7], [8, 9, 2]), Tokens([1, 9], [4, 2])]
        own = weights or {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
        is_equal = all(torch.equal(tensor, own[name]) for name, tensor in read.state_dict().items() if name in own)
        values = Policy(read, PAD)(sequences).tolist()
        is_so = is_equal and read.dtype == torch.float32 and all(map(math.isfinite, values))
        return Found(f"{read.dtype}, weights {'equal' if is_equal else 'differ'}, log-probs {values[0]:.4f}", is_so)

    path = "FSDP of one rank" if place.is_gpu else "narrow copies of the weights"
    yield Case(
        "stop and resume",
        f"a resumed run goes on as the one that was not stopped ({path})",
        f"losses within {WITHIN['float32']:g}, from the checkpoint of step 4",
        resumed,
    )
    yield Case("saved model", "the saved weights are the wide ones", "equal, float32", saved)
