"""What `training`, `sampling`, `rollout`, `evaluations` and a side of a switch may hold, wherever they stand.

Sections are layers, which the planner lays over each other key by key: each stays a mapping of what it was given.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field
from typing_extensions import TypedDict

from prefrepro.specs.problems import expecting
from prefrepro.specs.values import Count, Finite, Flag, MethodName, Number, Seed, Text, Texts, Whole

Optimizer = Literal["rmsprop", "adamw"]
Dtype = Literal["float32", "bfloat16", "float64"]
End = Literal["keep_start", "keep_end"]
Turns = Literal["all", "single"]
ScoreField = Literal["overall_score", "overall_score_corrected", "fine_grained_mean"]
Selection = Literal["best_vs_worst", "best_vs_random", "best_vs_each", "all_pairs"]
"""1, 1, K − 1 («× (k−1)») and K(K−1)/2 («× C(k,2)») pairs of a group without equal scores"""
SELECTIONS: tuple[Selection, ...] = get_args(Selection)
Temperature = Annotated[Finite, Field(ge=0, le=10), expecting("a number from 0 to 10")]


class Training(TypedDict, total=False):
    optimizer: Optimizer
    lr: Number
    warmup_steps: Seed
    schedule: Literal["constant", "linear", "cosine"]
    epochs: Number
    max_steps: Count | None
    batch_size: Count
    micro_batch: Count
    micro_batch_tokens: Count | None
    contrast_size: Count
    max_grad_norm: Number
    max_length: Count
    max_prompt_length: Count
    truncation_mode: End
    cut_prompts: Literal["always", "with_response"]
    dtype: Dtype
    compute_dtype: Dtype
    save_dtype: Dtype
    logp_dtype: Literal["float32", "bfloat16"]
    lora_rank: Seed
    quantize: Literal["none", "nf4"]
    on_nan: Literal["stop", "skip"]
    log_every: Count
    eval_every: Seed | None
    checkpoint_every: Count
    checkpoint_minutes: Number
    threads: Count


class RolloutTraining(Training, total=False):
    """What a rollout method has beside or instead of `training`; prefrepro/model/training.py says what it means."""

    ppo_epochs: Count
    minibatches: Count
    max_head_grad_norm: Number
    max_new_tokens: Count | None
    hparams: dict[str, Any]


ROLLOUT_KEYS = ("ppo_epochs", "minibatches", "max_head_grad_norm", "max_new_tokens")


class Reference(TypedDict, total=False):
    """Responses that are rewarded once, before any training (prefrepro/model/reference_rewards.py)."""

    samples: Count
    """To each training prompt"""
    max_new_tokens: Count | None


class Rollout(TypedDict, total=False):
    """By where responses come from."""

    data: RolloutTraining
    policy: RolloutTraining
    reference: Reference


class Sampling(TypedDict, total=False):
    n: Count
    temperature: Temperature
    top_p: Annotated[Finite, Field(gt=0, le=1), expecting("a number above 0 and up to 1")]
    max_length: Count
    max_new_tokens: Count | None
    batch_size: Count
    engine: Literal["transformers", "continuous", "vllm"]
    seed_per: Literal["draw", "batch"]
    stop_at: Literal["role_tag", "eos"]
    order_seed: Seed
    dtype: Dtype
    threads: Count
    generations: Annotated[
        list[tuple[Temperature, Count]], Field(min_length=1), expecting("a list of [temperature, responses]")
    ]


class EvaluationSettings(TypedDict, total=False):
    evaluation: Literal["pairwise", "alpaca_eval", "mt_bench", "arena_hard", "preference"]
    part: Literal["eval", "dev"]
    """Whose labelled responses are ranked, where the evaluation is `preference`"""
    by: Literal["reward", "logp", "logp_per_token"]
    """What ranks them: the log-ratio to the reference, the summed log-prob, or that of a token"""
    dtype: Dtype
    judge: Text
    prompts: Text
    template: Literal["dialogue", "summarization"]
    annotator: Literal["weighted", "weighted_gpt4.1", "fn", "ae1"]
    reference: Text
    length_controlled: Flag
    difficulty: Literal["published", "none"]
    gamed: Text
    empty_response: Literal["refuse", "judge"]
    replicates: Annotated[Whole, Field(ge=2), expecting("a whole number of at least 2")]
    verdict_regex: Literal["2024", "2025"]
    category: Literal["hard_prompt", "creative_writing"]
    """Whose questions of Arena-Hard v2.0 are judged; left out: v0.1"""
    judge_prompts: Annotated[Text | Texts, expecting("a path, or a list of paths")]


class SourceSwitch(TypedDict, total=False):
    """What a side of a switch may change in a dataset's file."""

    reading: Literal["paper", "code"]
    turns: Turns
    score_field: ScoreField


class Balanced(TypedDict):
    batch_divisor: Count
    contrast_divisor: Count


class Planning(TypedDict, total=False):
    """What the planner reads: where PPO's responses come from, and how a batch is made up."""

    rollouts: Literal["data", "policy"]
    methods: dict[MethodName, MethodName]
    """Method -> the method whose file takes its place"""
    mixed_group: Literal["batch"]
    mixed_rows: Literal["balanced"]
    """How a method that draws chosen and rejected responses together draws them instead"""
    contrast_batch: Literal["held", "moved"]
    balanced: Balanced
