"""Tiny base models, built from a config with a tokenizer of their own: what a hub checkpoint is at larger scales."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from prefrepro.data.template import TAGS, render_prompt
from prefrepro.data.truncate import TruncationCounts, limits_of
from prefrepro.model.batches import Inputs
from prefrepro.model.examples import Pairs, encode, read_rows
from prefrepro.model.learner import Learner, Objective
from prefrepro.model.policy import Policy
from prefrepro.model.seeds import seed_for
from prefrepro.model.training import training_of

BOS, EOS, PAD = "<s>", "</s>", "<pad>"


def build_tokenizer(texts: Iterable[str], vocab_size: int, max_length: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on `texts`: no unknown tokens; role tags are single, plain tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(tag.strip(), normalized=False) for tag in TAGS.values()])
    bos_id = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bos_id)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="left",
        model_max_length=max_length,
    )


def build_model(config: dict[str, Any], tokenizer: PreTrainedTokenizerFast, seed: int) -> Any:
    """A randomly initialised causal model of `config["model_type"]`, whose vocabulary is the tokenizer's."""
    torch.manual_seed(seed)
    model_config = AutoConfig.for_model(
        **config,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return AutoModelForCausalLM.from_config(model_config, attn_implementation="sdpa")


def pretraining(spec: dict[str, Any], data: Path) -> tuple[Learner, Any]:
    """The training of a language model from nothing on a data set's pretraining texts, and its tokenizer."""
    training, seed = training_of(spec["training"]), seed_for(spec["seed"], "pretrain")
    torch.set_num_threads(training.threads)
    rows = read_rows(data / "pretrain.jsonl")
    texts = [render_prompt(row["prompt"]) + row["completion"] for row in rows]
    tokenizer: Any = build_tokenizer(texts, spec["vocab_size"], training.max_length)
    model = build_model(spec["config"], tokenizer, seed)
    counts = TruncationCounts()
    sequences = encode(tokenizer, [""] * len(texts), texts, limits_of(spec["training"]), counts)
    numbers = [str(index) for index in range(len(texts))]
    inputs = Inputs(Pairs(sequences, [], numbers, {"responses_cut": counts.responses_cut}))
    sft = importlib.import_module("methods.sft")
    objective = Objective(sft.loss, sft.Hparams(**spec["hparams"]), sft.NEEDS)
    policy = Policy(model, tokenizer.pad_token_id, sft.NEEDS.output)
    return Learner(policy, objective, inputs, training, seed_for(spec["seed"], "order")), tokenizer
