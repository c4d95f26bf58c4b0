"""What a scale says to the forecast where nothing was measured: config/scales/*.yaml, section `forecast`."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from prefrepro.specs.problems import expecting, names_of
from prefrepro.specs.values import Amount, Count, Number, Seed, Spec, Text

Stage = Literal["training", "scoring", "sampling"]
STAGES: tuple[Stage, ...] = get_args(Stage)
FORWARD_ONLY = 3.0
"""A forward pass alone costs a third of one with its backward pass."""


class DataSize(Spec):
    """Size of one file of config/datasets; None: not known before the data are built."""

    rows: dict[Literal["train", "eval", "dev", "judge", "pretrain"], Seed] = {}
    """Part -> rows as released: before the data set's own `parts` share them out"""
    unique_prompts: Amount | None = None
    """Different prompts among the rows of train; None: as many as there are rows, which is the most"""
    responses: Count | None = None
    """To one prompt; None: two, or four of ranked data"""
    prompt_tokens: Amount | None = None
    """Mean of a sequence as it is trained on"""
    response_tokens: Amount | None = None
    answer_tokens: Amount | None = None
    """Mean of what a model answers to a prompt; None: the most that fit are counted"""
    source: Text = ""


class JudgeTokens(Spec):
    """Evaluation (work.py, label_of) -> mean prompt and completion tokens of one call."""

    per_call: dict[str, Annotated[tuple[Amount, Amount], expecting("[prompt tokens, completion tokens]")]] = {}
    source: Text = ""


class Rates(Spec):
    """Rates and sizes to fall back on; an empty one knows nothing, and says so."""

    hardware: Text = ""
    """What an hour is an hour of"""
    basis: Literal["measured", "arithmetic"] = "arithmetic"
    source: Text = ""
    start_s: Amount = 0.0
    """Seconds before a job that loads a model works: interpreter, imports, weights"""
    tokens_per_s: dict[Stage, Annotated[dict[str, Number], names_of("models")]] = {}
    """Stage -> a table's name of a model -> tokens a second of one device"""
    embedding_tokens_per_s: Number | None = None
    judge_calls_per_s: Number | None = None
    """What a judge on this hardware answers; an API judge holds no device"""
    data: dict[str, DataSize] = {}
    judge_tokens: JudgeTokens = JudgeTokens()

    def rate(self, stage: Stage, model: str) -> float | None:
        """Tokens a second; scoring without a rate of its own is training without its backward pass."""
        found = self.tokens_per_s.get(stage, {}).get(model)
        if found is None and stage == "scoring":
            training = self.tokens_per_s.get("training", {}).get(model)
            return None if training is None else FORWARD_ONLY * training
        return found
