"""The work that every candidate of the training benchmark gets: one model, one data set, one order of steps.

Prompts and responses are random tokens: how fast a trainer is does not depend on what they say. All responses of a row
answer one prompt.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.shapes import Lengths, Shape
from methods.contract import Needs
from prefrepro.model.batches import Inputs, Rows, step_rows
from prefrepro.model.examples import Groups, Pairs, Tokens

PAD, BOS, EOS, UNKNOWN = range(4)
WORDS = 4
"""First token that is a word."""
LAYERS = {"num_hidden_layers": 4, "hidden_size": 256, "intermediate_size": 688}
TINY = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 32}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 4}
SEED = 0
BATCH = 8
LR = 1e-4
CLIP = 10.0
THREADS = 2
BETA = 0.1
SWEPO_BETA = 0.01


@dataclass(frozen=True, slots=True)
class Size:
    """A model and the lengths of what it reads."""

    shape: Shape
    prompt: tuple[int, int]
    """Tokens, uniformly"""
    response: tuple[int, int]
    """Tokens, EOS among them, uniformly"""
    steps: int
    """Timed optimiser steps: a large vocabulary takes longer"""
    warmup: int
    """Steps before them that are not timed"""
    tied: bool = False
    """Whether the head is the embedding's weights"""
    micro_batch_tokens: int | None = None
    """Of this trainer's candidates, as in a run's settings; None: a step is one pass, as TRL's"""


SIZES = {
    "2k": Size(Shape(**LAYERS, **HEADS, vocab_size=2048), (16, 256), (16, 256), 6, 2),
    "32k": Size(Shape(**LAYERS, **HEADS, vocab_size=32000), (16, 256), (16, 256), 2, 1),
    "smollm2": Size(Shape(30, 576, 1536, 9, 3, 49152), (16, 256), (16, 256), 2, 1, tied=True, micro_batch_tokens=2560),
    "tiny": Size(Shape(**TINY, **HEADS, vocab_size=64), (8, 16), (2, 12), 2, 1),
}
"""smollm2: SmolLM2-135M's; 408 tokens a pair on average, as real ones of HH have."""
NEEDS = {
    2: Needs(shape="paired", reference=True),
    4: Needs(shape="ranked", reference=True, rows="groups"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt and its k responses, the best first."""

    prompt: list[int]
    responses: list[list[int]]
    scores: list[float]

    @property
    def lengths(self) -> Lengths:
        """Tokens of its parts."""
        return Lengths(len(self.prompt), tuple(map(len, self.responses)))

    def positives(self) -> int:
        """Responses above the mean score: Swepo's positives stand first."""
        mean = sum(self.scores) / len(self.scores)
        return sum(score > mean for score in self.scores)


@dataclass(frozen=True, slots=True)
class Workload:
    """`k` responses a row."""

    size: Size
    k: int

    @property
    def steps(self) -> int:
        """All of them."""
        return self.size.warmup + self.size.steps

    def rows(self) -> list[Row]:
        """As many as the steps want, in file order."""
        draw = random.Random(f"{SEED}/{self.size.shape.vocab_size}")

        def words(n: int) -> list[int]:
            return [draw.randrange(WORDS, self.size.shape.vocab_size) for _ in range(n)]

        rows = []
        for _ in range(self.steps * BATCH):
            prompt = [BOS, *words(draw.randint(*self.size.prompt) - 1)]
            responses = [[*words(draw.randint(*self.size.response) - 1), EOS] for _ in range(4)][: self.k]
            scores = sorted((draw.uniform(0, 10) for _ in range(4)), reverse=True)[: self.k]
            rows.append(Row(prompt, responses, scores))
        return rows

    def inputs(self, rows: list[Row]) -> Inputs:
        """Encoded rows without reference log-probs."""
        numbers = [str(number) for number in range(len(rows))]
        groups = [[Tokens(row.prompt, response) for response in row.responses] for row in rows]
        if self.k == 2:
            return Inputs(Pairs([a for a, _ in groups], [b for _, b in groups], numbers, {}))
        scored = Groups(groups, [row.scores for row in rows], numbers, {})
        return Inputs(Pairs([], [], [], {}), groups=scored)

    def step_rows(self) -> list[Rows]:
        """Which rows make which step: the trainer's own order."""
        numbers = [str(number) for number in range(self.steps * BATCH)]
        order = step_rows(numbers, NEEDS[self.k], BATCH, SEED)
        return [order(step) for step in range(self.steps)]


def make_model(size: Size, folder: Path) -> Path:
    """A folder with a random Llama and its `word_tokenizer`; made once."""
    if (folder / "tokenizer.json").exists():
        return folder
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(SEED)
    # Wider than usual: with the usual 0.02 a random model says much the same of any text.
    config = LlamaConfig(
        **asdict(size.shape),
        max_position_embeddings=1024,
        initializer_range=0.06,
        tie_word_embeddings=size.tied,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    word_tokenizer(size.shape.vocab_size).save_pretrained(folder)
    return folder


def word_tokenizer(vocab_size: int) -> Any:
    """A tokenizer of whole words (token i is «t<i>») that puts BOS before each text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = {"<pad>": PAD, "<s>": BOS, "</s>": EOS, "<unk>": UNKNOWN}
    words = {f"t{number}": number for number in range(WORDS, vocab_size)}
    tokenizer = Tokenizer(models.WordLevel(special | words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])  # pyright: ignore
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def text(ids: list[int]) -> str:
    """What the tokenizer reads as `ids`; it adds BOS to the front by itself."""
    return "".join(" </s>" if i == EOS else f" t{i}" for i in ids if i != BOS)
