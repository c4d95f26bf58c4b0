"""What a training or a sampling job holds on each of its GPUs, from its model's shape and its settings: arithmetic,
imports no torch.

An upper bound: every sequence of a batch is as long as it may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from prefrepro.errors import UserError
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan
from prefrepro.plan.resources import ScaleResources
from prefrepro.specs.files import read_mapping

SIZES = {"float32": 4, "bfloat16": 2, "float64": 8}
STATES = {"rmsprop": 1, "adamw": 2}
"""Numbers that an optimiser keeps of each parameter."""
CHUNK_ROWS = 1024
"""Tokens whose logits are made at once (model/logps.py)."""
NORMS = 10.4
"""Hidden states of a token that a layer keeps beside those of attention and MLP: what 7B and 13B of Llama were counted
to keep in bfloat16, whose norms are in float32 (6.3 and 9.8 MiB a token)."""
GIB = 2**30
OVERHEAD = 1.0 * GIB
"""CUDA's context, its libraries' workspaces, and what the allocator cannot use."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder of the Llama family."""

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    is_tied: bool = False
    has_bias: bool = False

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        heads = (2 * self.heads + 2 * self.kv_heads) * self.head_dim
        bias = (self.heads + 2 * self.kv_heads) * self.head_dim if self.has_bias else 0
        return self.hidden_size * (heads + 3 * self.intermediate_size + 2) + bias

    @property
    def root(self) -> int:
        """Parameters outside the layers: embeddings, head, last norm."""
        return self.hidden_size * (self.vocab_size * (1 if self.is_tied else 2) + 1)

    @property
    def parameters(self) -> int:
        return self.layers * self.layer + self.root

    @property
    def keys(self) -> int:
        """Numbers of a token in the key-value cache."""
        return 2 * self.layers * self.kv_heads * self.head_dim

    @property
    def kept(self) -> float:
        """Numbers of a token that a layer keeps for its backward pass."""
        attention = 2 * (self.heads + self.kv_heads) * self.head_dim
        return NORMS * self.hidden_size + attention + 4 * self.intermediate_size


@cache
def shapes() -> dict[str, Shape]:
    """By repository on the hub."""
    return {repo: Shape(**given) for repo, given in read_mapping(Path(__file__).parent / "architectures.yaml").items()}


def shape_of(nodes: Mapping[str, Node], node: Node) -> Shape | None:
    """The shape of the model that a training starts from or that answers; None: a tiny one made here, or unknown."""
    if isinstance(init := node.spec.get("init", node.spec.get("model")), dict):
        return shapes().get(init.get("repo", ""))
    source = node.inputs.get("init", node.inputs.get("run"))
    return shape_of(nodes, nodes[source]) if source else None


def training_bytes(
    shape: Shape, training: Mapping[str, Any], gpus: int = 1, is_checkpointed: bool = False
) -> dict[str, float]:
    """Bytes on each GPU, by what they hold, when it holds most of it."""
    n, wide = shape.parameters, SIZES[training["dtype"]]
    narrow = SIZES[training.get("compute_dtype") or training["dtype"]]
    is_mixed, rank = narrow != wide, training.get("lora_rank", 0)
    most = training["max_length"]
    tokens = training.get("micro_batch_tokens") or training["micro_batch"] * most
    found: dict[str, float] = {}
    if rank:
        ends = 2 * (shape.heads + shape.kv_heads) * shape.head_dim + 3 * shape.intermediate_size + 7 * shape.hidden_size
        trained = shape.layers * rank * ends
        held = 0.55 if training.get("quantize", "none") != "none" else narrow  # 4 bit and the constants of blocks
        found["weights"] = shape.layers * shape.layer * held + shape.root * narrow + trained * wide
    else:
        trained = n
        found["weights"] = n * wide / gpus
        if is_mixed or gpus > 1:  # in the compute dtype: what is outside the layers, two of these and a gradient
            found["gathered"] = shape.root * narrow + shape.layer * (3 * narrow + wide)
    found["gradients"] = trained * wide / gpus
    found["optimiser"] = trained * wide * STATES[training["optimizer"]] / gpus
    of_layer = shape.kept * narrow
    kept = shape.hidden_size * narrow if is_checkpointed else of_layer
    found["activations"] = tokens * (kept * shape.layers + 4 * shape.hidden_size * narrow)
    rows = min(tokens, max(CHUNK_ROWS, 2**20 // shape.vocab_size))
    of_head = 0 if rank else shape.vocab_size * shape.hidden_size
    logits = rows * shape.vocab_size * (8 + 2 * narrow) + of_head * (4 + narrow)
    again = 1.5 * of_layer * tokens if is_checkpointed else 0
    # One after the other: logits, a layer that is computed again, the gradients outside the layers.
    found["logits or a layer"] = max(logits, again, shape.root * (narrow + wide) if "gathered" in found else 0)
    if rollout := training.get("rollout"):
        judges = 1 if rollout["responses"] == "policy" else 0
        found["frozen models"] = n * narrow * (1 + judges) / gpus
        critic = 2 * shape.hidden_size**2 * 4 * (2 + STATES[training["optimizer"]])
        found["value head"] = critic + tokens * shape.hidden_size * (narrow + 4 * 4)
        # Gradients and activations are gone while responses are sampled, with all weights gathered.
        cache_bytes = shape.keys * narrow * training["micro_batch"] * most
        whole = n * narrow if is_mixed or gpus > 1 else 0
        freed = found["gradients"] + found["activations"] + found["logits or a layer"] + found.get("gathered", 0)
        found["sampling beyond a step"] = judges * max(0.0, cache_bytes + whole - freed)
    return found | {"CUDA": OVERHEAD}


def sampling_bytes(shape: Shape, sampling: Mapping[str, Any]) -> dict[str, float]:
    """Bytes on each GPU, which all hold the whole model, when its answers are as long as they may be."""
    narrow, answers = SIZES[sampling["dtype"]], sampling["batch_size"]
    prompts = answers * min(sampling.get("max_prompt_length") or sampling["max_length"], sampling["max_length"])
    return {
        "weights": shape.parameters * narrow,
        "key-value cache": answers * sampling["max_length"] * shape.keys * narrow,
        "a layer of all prompts": prompts * shape.kept * narrow,
        "logits": answers * shape.vocab_size * (narrow + 8),
        "CUDA": OVERHEAD,
    }


def needed(nodes: Mapping[str, Node], node: Node, gpus: int, engine: Mapping[str, Any]) -> dict[str, float] | None:
    """Bytes of a node on each GPU; None of what neither trains nor answers, or of a model of unknown shape."""
    if "training" not in node.spec and "dtype" not in node.spec.get("sampling", {}):
        return None
    if (shape := shape_of(nodes, node)) is None:
        return None
    if "training" not in node.spec:
        return sampling_bytes(shape, node.spec["sampling"])
    is_checkpointed = bool(engine.get("activation_checkpointing"))
    return training_bytes(shape, node.spec["training"], max(gpus, 1), is_checkpointed)


def check_fit(nodes: Mapping[str, Node], node: Node, gpus: int, engine: Mapping[str, Any], device_gib: float) -> None:
    """Raise UserError where a job does not fit the memory of its devices."""
    found = needed(nodes, node, gpus, engine)
    if found is None or not device_gib or (total := sum(found.values()) / GIB) <= device_gib:
        return
    largest = sorted(found, key=lambda name: -found[name])[:5]
    parts = ", ".join(f"{name} {found[name] / GIB:.1f}" for name in largest)
    if training := node.spec.get("training"):
        advice = [] if engine.get("activation_checkpointing") else ["set engine: {activation_checkpointing: true}"]
        advice += [] if training.get("compute_dtype") else ["set compute_dtype: bfloat16"]
        advice += [f"lower micro_batch ({training['micro_batch']}) or set micro_batch_tokens"]
        advice += [f"use more than {gpus} of these GPUs (`resources`) or a larger one, or train adapters (lora_rank)"]
    else:
        sampling = node.spec["sampling"]
        advice = [] if sampling["dtype"] == "bfloat16" else ["set sampling: {dtype: bfloat16}"]
        advice += [f"lower sampling.batch_size ({sampling['batch_size']})", "use a larger GPU"]
    raise UserError(
        f"{node.id} needs about {total:.0f} GiB on each GPU ({parts}), the device has {device_gib:.1f}: "
        f"{'; '.join(advice)}. Settings: config/scales/<scale>.yaml; the arithmetic: prefrepro/plan/memory.py"
    )


def memory_lines(plan: Plan, nodes: Sequence[Node]) -> list[str]:
    """A Markdown table: what trainings and sampling jobs need on each of their GPUs, most first, alike ones once."""
    resources, found = ScaleResources(plan), dict[str, tuple[float, str]]()
    for node in nodes:
        asked = resources.of(node)
        parts = needed(plan.nodes, node, asked.gpus, plan.runtime["engine"])
        if parts is not None:
            total = sum(parts.values()) / GIB
            fits = "unknown" if not asked.device_gib else "yes" if total <= asked.device_gib else "no"
            listed = ", ".join(f"{name} {value / GIB:.1f}" for name, value in parts.items() if value)
            row = f"{max(asked.gpus, 1)} × {asked.device_gib:g} | {total:.1f} | {fits} | {listed} |"
            found[node.name] = max(found.get(node.name, (0.0, "")), (total, f"| {node.kind} {node.name} | {row}"))
    head = ["| job | GPUs × GiB | GiB needed on each | fits | of which |", "|---|---|---|---|---|"]
    return head + [line for _, line in sorted(found.values(), reverse=True)]


def refuse_unfit(plan: Plan, nodes: Sequence[Node]) -> None:
    """Raise UserError, before the first job, where one does not fit the devices that its scale asks for."""
    if problems := unfit(plan, nodes):
        said = "\n".join(problems)
        raise UserError(
            f"{said}\nNothing was started. Next: do that, say what the device has (resources: device_gib), or leave "
            "such rows out (rows=-ppo)."
        )


def unfit(plan: Plan, nodes: Sequence[Node]) -> list[str]:
    """What is to be said of each job that does not fit the devices that its scale asks for."""
    resources, problems = ScaleResources(plan), list[str]()
    for node in nodes:
        asked = resources.of(node)
        try:
            check_fit(plan.nodes, node, asked.gpus, plan.runtime["engine"], asked.device_gib)
        except UserError as error:
            problems += error.problems
    return problems
