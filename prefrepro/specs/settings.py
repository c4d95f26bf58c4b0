"""What `training`, `sampling`, `rollout`, `evaluations` and a side of a switch may hold, wherever they stand.

Sections are layers: the planner lays the scale's over the paper's, key by key, so that each holds what it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, with_config
from typing_extensions import TypedDict

from prefrepro.specs.values import CLOSED, Count, Finite, Flag, Number, Paths, Seed, Text, Whole, expecting
from prefrepro.specs.values import missing, refuse

Optimizer = Literal["rmsprop", "adamw"]
Dtype = Literal["float32", "bfloat16", "float64"]
EndToKeep = Literal["keep_start", "keep_end"]
Turns = Literal["all", "single"]
ScoreField = Literal["overall_score", "overall_score_corrected", "fine_grained_mean"]
Selection = Literal["best_vs_worst", "best_vs_random", "best_vs_each", "all_pairs"]
"""1, 1, K − 1 («× (k−1)») and K(K−1)/2 («× C(k,2)») pairs of a group without equal scores"""
SELECTIONS: tuple[Selection, ...] = get_args(Selection)
Temperature = Annotated[Finite, Field(ge=0, le=10), expecting("a number from 0 to 10")]
OPTIONAL = ("compute_dtype", "lora_rank", "quantize", "generations", "engine", "seed_per")
"""Settings that a paper may leave out"""


@with_config(CLOSED)
class Training(TypedDict, total=False):
    optimizer: Optimizer
    lr: Number
    warmup_steps: Seed
    epochs: Number
    max_steps: Count | None
    batch_size: Count
    micro_batch: Count
    contrast_size: Count
    max_grad_norm: Number
    max_length: Count
    max_prompt_length: Count
    truncation_mode: EndToKeep
    dtype: Dtype
    compute_dtype: Dtype
    lora_rank: Seed
    quantize: Literal["none", "nf4"]
    on_nan: Literal["stop", "skip"]
    log_every: Count
    eval_every: Seed
    checkpoint_every: Count
    threads: Count


class RolloutTraining(Training, total=False):
    """What a rollout method has beside or instead of `training`; prefrepro/model/rollout.py says what it means."""

    ppo_epochs: Count
    minibatches: Count
    max_head_grad_norm: Number
    max_new_tokens: Count | None
    hparams: dict[str, Any]


ROLLOUT_KEYS = ["ppo_epochs", "minibatches", "max_head_grad_norm", "max_new_tokens"]


@with_config(CLOSED)
class Reference(TypedDict, total=False):
    """Responses that are rewarded once, before any training (prefrepro/train/reference_rewards.py)."""

    samples: Count
    """To each training prompt"""
    max_new_tokens: Count | None


@with_config(CLOSED)
class Rollout(TypedDict, total=False):
    """By where responses come from."""

    data: RolloutTraining
    policy: RolloutTraining
    reference: Reference


@with_config(CLOSED)
class Sampling(TypedDict, total=False):
    n: Count
    temperature: Temperature
    top_p: Annotated[Finite, Field(gt=0, le=1), expecting("a number above 0 and up to 1")]
    max_length: Count
    max_new_tokens: Count | None
    batch_size: Count
    engine: Literal["transformers", "continuous", "vllm"]
    seed_per: Literal["draw", "batch"]
    order_seed: Seed
    dtype: Dtype
    threads: Count
    generations: Annotated[
        list[tuple[Temperature, Count]], Field(min_length=1), expecting("a list of [temperature, responses]")
    ]


@with_config(CLOSED)
class EvaluationSettings(TypedDict, total=False):
    evaluation: Literal["pairwise", "alpaca_eval", "mt_bench", "arena_hard"]
    judge: Text
    prompts: Text
    template: Literal["dialogue", "summarization"]
    annotator: Literal["weighted", "fn", "ae1"]
    reference: Text
    length_controlled: Flag
    difficulty: Literal["published", "none"]
    gamed: Text
    empty_response: Literal["refuse", "judge"]
    replicates: Annotated[Whole, Field(ge=2), expecting("a whole number of at least 2")]
    verdict_regex: Literal["2024", "2025"]
    judge_prompts: Paths


@with_config(CLOSED)
class SourceSwitch(TypedDict, total=False):
    """What a side of a switch may change in a dataset's file."""

    reading: Literal["paper", "code"]
    turns: Turns
    score_field: ScoreField


@with_config(CLOSED)
class Balanced(TypedDict):
    batch_divisor: Count
    contrast_divisor: Count


@with_config(CLOSED)
class Planning(TypedDict, total=False):
    """What the planner reads: where PPO's responses come from, and how a batch is made up."""

    rollouts: Literal["data", "policy"]
    mixed_group: Literal["batch"]
    contrast_batch: Literal["held", "moved"]
    balanced: Balanced


def _complete(shape: Any) -> AfterValidator:
    """A section with every key of its shape but the optional ones."""

    def check(section: Mapping[str, Any]) -> Mapping[str, Any]:
        refuse(missing(section, [name for name in shape.__annotations__ if name not in OPTIONAL]))
        return section

    return AfterValidator(check)


CompleteTraining = Annotated[Training, _complete(Training)]
CompleteSampling = Annotated[Sampling, _complete(Sampling)]
