"""The embedded scale made so small that all of table 1 runs in under a minute."""

from __future__ import annotations

from checkout import Checkout

N_PROMPTS = 32

MODEL = {
    "kind": "scratch",
    "vocab_size": 400,
    "config": {
        "model_type": "mistral",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 64,
        "max_position_embeddings": 512,
        "sliding_window": 128,
        "tie_word_embeddings": True,
    },
    "seed": 0,
    "pretraining": {
        "optimizer": "adamw",
        "lr": 3.0e-3,
        "warmup_steps": 2,
        "max_steps": 5,
        "batch_size": 32,
        "micro_batch": 32,
        "max_grad_norm": 10.0,
        "threads": 1,
    },
}
DATASET = {
    "kind": "world",
    "task": "dialogue",
    "form": "pairs",
    "seed": 0,
    "temperature": 1.0,
    "rows": {"pretrain": 160, "train": 128, "eval": 48, "judge": 0},
    "parts": {"train": 0.7, "eval": 0.3},
}
SCALE = {
    "description": "a world for tests",
    "is_comparable": False,
    "models": {"mistral-7b": "tiny-mistral"},
    "datasets": {"hh": "embedded-dialogue"},
    "embedders": {"all-MiniLM-L6-v2": "all-MiniLM-L6-v2"},
    "judges": {"gpt-4-0613": "embedded-world"},
    "files_judge": "reward-model",
    "training": {
        "lr": 1.0e-3,
        "warmup_steps": 2,
        "max_steps": 12,
        "batch_size": 8,
        "micro_batch": 16,
        "contrast_size": 4,
        "eval_every": 0,
        "log_every": 4,
        "checkpoint_every": 2,
        "threads": 1,
    },
    "sft": {"batch_size": 16, "max_steps": 6},
    "reward_model": {"batch_size": 16, "max_steps": 6},
    "sampling": {"n": N_PROMPTS, "max_length": 512, "max_new_tokens": 16, "batch_size": 32, "threads": 1},
}


def make_tiny(checkout: Checkout) -> None:
    """Overwrite the copy's embedded scale and what it names, and keep no table but RPO's first.

    So the shipped values are of no account.
    """
    for path in checkout.root.glob("paper_tables/*/*.yaml"):
        if path.stem != "paper" and path.parts[-2:] != ("rpo", "table1.yaml"):
            path.unlink()
    checkout.write_yaml("config/scales/embedded.yaml", SCALE)
    checkout.write_yaml("config/models/tiny-mistral.yaml", MODEL)
    checkout.write_yaml("config/datasets/embedded-dialogue.yaml", DATASET)
