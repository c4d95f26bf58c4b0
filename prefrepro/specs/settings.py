"""What the values of `training`, `sampling`, `rollout`, `evaluations` and a switch may be, wherever they stand.

A setting without a rule here holds the same kind of value as the paper's own. Which settings there are is the
paper's to say (paper.yaml); spec.py and plan.py ask. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefrepro.specs import adapters
from prefrepro.specs.evaluation import EVALUATIONS
from prefrepro.specs.method import method_names
from prefrepro.specs.rules import COUNT, FLAG, NUMBER, SEED, TEXT, Key, is_number, is_text, is_whole, one_of

OPTIMIZERS = ("rmsprop", "adamw")
DTYPES = ("float32", "bfloat16", "float64")


def _are_generations(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_generation(one) for one in value)


def _is_generation(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and is_number(value[0])
        and 0 <= value[0] <= 10
        and is_whole(value[1], 1)
    )


def _are_paths(value: Any) -> bool:
    return is_text(value) or (isinstance(value, list) and bool(value) and all(map(is_text, value)))


_DTYPE = one_of(*DTYPES)
TRAINING: dict[str, Key] = {
    "optimizer": one_of(*OPTIMIZERS),
    "lr": NUMBER,
    "warmup_steps": SEED,
    "epochs": NUMBER,
    "max_steps": COUNT.or_null,
    "batch_size": COUNT,
    "micro_batch": COUNT,
    "contrast_size": COUNT,
    "max_grad_norm": NUMBER,
    "max_length": COUNT,
    "max_prompt_length": COUNT,
    "truncation_mode": one_of("keep_start", "keep_end"),
    "dtype": _DTYPE,
    "compute_dtype": _DTYPE,
    "lora_rank": SEED,
    "quantize": one_of("none", "nf4"),
    "on_nan": one_of("stop", "skip"),
    "log_every": COUNT,
    "eval_every": SEED,
    "checkpoint_every": COUNT,
    "threads": COUNT,
}
ROLLOUT: dict[str, Key] = {
    "ppo_epochs": COUNT,
    "minibatches": COUNT,
    "max_head_grad_norm": NUMBER,
    "max_new_tokens": COUNT.or_null,
    "samples": COUNT,
    "hparams": Key(lambda value: isinstance(value, dict), "a mapping"),
}
SAMPLING: dict[str, Key] = {
    "n": COUNT,
    "temperature": Key(lambda value: is_number(value) and 0 <= value <= 10, "a number from 0 to 10"),
    "top_p": Key(lambda value: is_number(value) and 0 < value <= 1, "a number above 0 and up to 1"),
    "max_length": COUNT,
    "max_new_tokens": COUNT.or_null,
    "batch_size": COUNT,
    "engine": one_of("transformers", "continuous", "vllm"),
    "seed_per": one_of("draw", "batch"),
    "order_seed": SEED,
    "dtype": _DTYPE,
    "threads": COUNT,
    "generations": Key(_are_generations, "a list of [temperature, responses]"),
}
EVALUATION: dict[str, Key] = {
    "evaluation": one_of(*EVALUATIONS),
    "judge": TEXT,
    "prompts": TEXT,
    "template": one_of("dialogue", "summarization"),
    "annotator": one_of("weighted", "fn", "ae1"),
    "reference": TEXT,
    "length_controlled": FLAG,
    "difficulty": one_of("published", "none"),
    "gamed": TEXT,
    "empty_response": one_of("refuse", "judge"),
    "replicates": Key(lambda value: is_whole(value, 2), "a whole number of at least 2"),
    "verdict_regex": one_of("2024", "2025"),
    "judge_prompts": Key(_are_paths, "a path, or a list of paths"),
}
SOURCE: dict[str, Key] = {
    "reading": one_of("paper", "code"),
    "turns": one_of("all", "single"),
    "score_field": one_of("overall_score", "overall_score_corrected", "fine_grained_mean"),
}
PLANNING: dict[str, Key] = {
    "rollouts": one_of("data", "policy"),
    "methods": Key(
        lambda value: isinstance(value, dict) and set(map(str, [*value, *value.values()])) <= set(method_names()),
        "a mapping of methods to the methods that take their place",
    ),
    "mixed_group": one_of("batch"),
    "contrast_batch": one_of("held", "moved"),
    "balanced": Key(
        lambda value: (
            isinstance(value, dict)
            and set(value) == {"batch_divisor", "contrast_divisor"}
            and all(is_whole(one, 1) for one in value.values())
        ),
        "{batch_divisor: n, contrast_divisor: n}",
    ),
}


def keys_of(training: Mapping[str, Any]) -> list[str]:
    """What may be set of a training, under a paper's own `training`; left out, the rest is no part of a run."""
    return list(dict.fromkeys([*training, "compute_dtype", *adapters.DEFAULTS]))


def value_problems(
    rules: Mapping[str, Key], given: Mapping[str, Any], where: str, like: Mapping[str, Any] | None = None
) -> list[str]:
    """One sentence for each value that its rule, or else its kind in `like`, does not accept."""
    problems = []
    for key, value in given.items():
        rule = rules.get(key) or _same_kind((like or {}).get(key))
        if not rule.accepts(value):
            problems.append(f"{where}: {key} is {value!r:.80}; expected {rule.expected}")
    return problems


def _same_kind(known: Any) -> Key:
    """A rule made of another value of the same setting; null says nothing."""
    if isinstance(known, bool):
        return FLAG
    if isinstance(known, int | float):
        return Key(lambda value: is_number(value) and value >= 0, "a number of at least 0")
    if isinstance(known, str):
        return TEXT
    return Key(lambda _: True, "anything")
