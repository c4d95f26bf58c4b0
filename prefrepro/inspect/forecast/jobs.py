"""One node of the plan as a job of the forecast: its amounts, hours and price, and what the hours rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

from prefrepro.inspect.forecast.measured import COUNTED, Measured
from prefrepro.inspect.forecast.sizes import Size, size_of
from prefrepro.inspect.forecast.work import (
    Work,
    calls_of,
    cost_of,
    device_seconds,
    embedding_work,
    label_of,
    preference_work,
    reference_reward_work,
    reference_work,
    sampling_work,
    training_work,
)
from prefrepro.plan.nodes import Node
from prefrepro.plan.plan import Plan
from prefrepro.specs.forecast import STAGES, Rates

SCORED_ONCE = {
    "reference": reference_work,
    "reference_rewards": reference_reward_work,
    "embeddings": embedding_work,
    "preference": preference_work,
}
"""Kind -> its work, of jobs that read their texts once, without a backward pass."""
AMOUNTS: tuple[str, ...] = (
    "sequences", "tokens", "answers", "hours", "calls", "prompt_tokens", "completion_tokens", "cost_usd",
)  # fmt: skip
"""What is summed. `tokens` are trained on, scored, embedded or sampled; those of a judge have columns of their own."""
WHOLE = ("data", "package")
"""Kinds whose jobs are counted as one unit of work: they read no text."""
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Job:
    """One node's forecast."""

    kind: str
    id: str
    is_done: bool
    """Its last file is there; a table's file may come from another plan."""
    amounts: dict[str, float | None] = field(default_factory=dict)
    """Those of AMOUNTS that the kind has; None: unknown."""
    basis: str = ""
    """Source of its hours: measured, config, or empty where it has none."""


class Forecaster:
    """Makes jobs of a plan's nodes; what earlier jobs measured goes before what the scale's config says."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.settings: Rates = plan.scale["forecast"]
        self._sizes: dict[str, Size] = {}
        self._jobs: dict[str, Job] = {}

    @cached_property
    def measured(self) -> Measured:
        return Measured(self.plan.results)

    def job(self, node: Node) -> Job:
        """The forecast of one node. Raises UserError where what an earlier job left behind cannot be read."""
        if node.id not in self._jobs:
            self._jobs[node.id] = self._make(node)
        return self._jobs[node.id]

    def hours(self, node: Node) -> float | None:
        """The hours of one job; None where they are not known."""
        return self.job(node).amounts.get("hours")

    def size(self, node_id: str) -> Size:
        if node_id not in self._sizes:
            self._sizes[node_id] = size_of(self.plan, self.plan.nodes[node_id], self.settings)
        return self._sizes[node_id]

    def _make(self, node: Node) -> Job:
        is_done = (self.plan.results / node.done).is_file()
        if node.kind == "table":
            return Job(node.kind, node.id, is_done)
        if node.kind == "import":
            return Job(node.kind, node.id, is_done, {"answers": self.size(node.inputs["data"]).rows.get("prompts")})
        amounts, basis = self._verdict(node) if node.kind == "verdict" else self._device_job(node)
        known = {name: None if math.isnan(amount) else amount for name, amount in amounts.items()}
        return Job(node.kind, node.id, is_done, known, basis)

    def _device_job(self, node: Node) -> tuple[dict[str, float], str]:
        """Amounts of a job that holds a device, and what its hours rest on."""
        work = self._work(node)
        tokens = work.sampled_tokens if node.kind == "sample" else work.tokens
        units = 1.0 if node.kind in WHOLE else (work.sequences if node.kind in COUNTED else tokens)
        per_unit, basis = self.measured.seconds_per_unit(node.kind, node.id), "measured"
        if per_unit is None or math.isnan(units):
            seconds, basis = self._seconds(node, work), "config"
        else:
            seconds = per_unit * units
        amounts = {"hours": seconds / HOUR}
        if node.kind == "sample":
            amounts |= {"answers": work.answers, "tokens": tokens}
        elif node.kind not in WHOLE:
            amounts |= {"sequences": work.sequences, "tokens": tokens}
        return amounts, basis

    def _work(self, node: Node) -> Work:
        if node.kind in WHOLE:
            return Work()
        size = self.size(node.inputs["data"])
        if node.kind == "sample":
            return sampling_work(node, size, self.measured.answer_tokens(node.id))
        return SCORED_ONCE.get(node.kind, training_work)(node, size)

    def _seconds(self, node: Node, work: Work) -> float:
        """By the scale's rates."""
        if node.kind in WHOLE:
            return 0.0  # reads no text
        model = node.model or ""
        if node.kind == "base":  # named by its own file; rates are by the name that tables give it
            model = next((name for name, file in self.plan.scale["models"].items() if file == model), model)
        rates = {stage: self.settings.rate(stage, model) for stage in STAGES}
        answers = self.plan.scale["sampling"].get("batch_size")
        if work.sampled_tokens and rates["sampling"] and answers and "training" in node.spec:
            # A step of decoding takes as long for the fewer answers that a rollout has side by side.
            rates["sampling"] *= min(1.0, node.spec["training"]["micro_batch"] / answers)
        if node.kind == "embeddings":
            rates["training"] = self.settings.embedding_tokens_per_s
        elif node.kind in SCORED_ONCE:
            rates["training"] = rates["scoring"]
        return self.settings.start_s + device_seconds(work, **rates)

    def _verdict(self, node: Node) -> tuple[dict[str, float], str]:
        spec, judge = node.spec, node.spec["judge"]
        sample = self.job(self.plan.nodes[node.inputs["sample"]])
        answers = sample.amounts["answers"]
        calls = math.nan if answers is None else calls_of(spec, int(answers))
        assumed = self.settings.judge_tokens.per_call.get(label_of(spec), (math.nan, math.nan))
        prompt, completion = self.measured.call_tokens(spec) or assumed
        amounts = {"calls": calls, "prompt_tokens": calls * prompt, "completion_tokens": calls * completion}
        amounts["cost_usd"] = cost_of(judge, amounts["prompt_tokens"], amounts["completion_tokens"])
        if judge["kind"] != "local":  # an API judge holds no device
            return amounts, ""
        seconds = self.measured.judging_seconds(spec)
        if seconds is not None:
            return amounts | {"hours": calls * seconds / HOUR}, "measured"
        return amounts | {"hours": calls / (self.settings.judge_calls_per_s or math.nan) / HOUR}, "config"
