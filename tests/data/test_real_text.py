"""What the limits cut of real text, by a byte-level BPE learnt from it: sampling against training, per data set.

The embedded world's prompts are short, so no test on it would see two rules differ.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from shared import SHARED
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from prefrepro.data.hh import parse_hh
from prefrepro.data.rows import one_blank
from prefrepro.data.sources import line_of
from prefrepro.data.template import TAGS, prompt_id, render_prompt
from prefrepro.data.truncate import CutPrompts, Limits, Mode
from prefrepro.model.examples import encode_pairs
from prefrepro.sample.answers import Asked

DATA = SHARED / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real samples are in shared/data, which is not here")
Row = dict[str, Any]
VOCABULARY = 16_000
"""Learnt from the very text, so a prompt has 6 to 11 % fewer tokens than by Mistral-7B's 32,000."""


def lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().splitlines()


def pair(text: str, chosen: str, rejected: str) -> Row:
    prompt = [{"role": "user", "content": text}]
    return {"prompt_id": prompt_id(prompt), "prompt": prompt, "chosen": chosen, "rejected": rejected}


@cache
def rows_of(name: str) -> list[Row]:
    if name == "hh":
        found = (
            parse_hh(json.loads(one), lambda _: None) for one in lines(DATA / "hh_rlhf/harmless-base_test.jsonl.gz")
        )
        return [line_of(row) for row in found if row]
    if name == "tldr":
        (path,) = (DATA / "tldr").glob("*.csv.gz")
        judged = csv.DictReader(io.StringIO("\n".join(lines(path))))
        return [
            pair(
                one_blank(one["query"].partition("POST: ")[2].rpartition("TL;DR:")[0].strip()),
                one["postprocessed_response"],
                one["reference_responses"],
            )
            for one in judged
        ]
    read = map(json.loads, lines(DATA / "ultrafeedback/ultrafeedback_binarized_train_1000.jsonl.gz"))
    return [pair(one["prompt"], one["chosen"], one["rejected"]) for one in read]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    rows = [row for name in DATASETS for row in rows_of(name)]
    core.train_from_iterator((render_prompt(row["prompt"]) + row["chosen"] for row in rows), trainer)
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")


DATASETS: dict[str, tuple[int, int, Mode]] = {
    "hh": (512, 256, "keep_end"),
    "tldr": (512, 256, "keep_start"),
    "ultrafeedback": (1024, 512, "keep_end"),
}
"""max_length, max_prompt_length (RPO Table 5; NCA), and the end that is kept"""


def shares(rows: list[Row], limits: Limits, tokenizer: Any) -> tuple[float, float]:
    """Share of prompts cut in training, of chosen and rejected sequences, and in sampling; in %.

    Each prompt that is sampled is the one that training has beside the same response, and its end is the data set's.
    """
    pairs = encode_pairs(rows, tokenizer, limits)
    asked = [Asked(tokenizer, row["prompt"], row | {"baseline": row["chosen"]}, limits) for row in rows]
    for row, one, trained in zip(rows, asked, pairs.chosen, strict=True):
        assert one.ids == trained.prompt_ids
        if one.cut["prompts_cut"]:
            text, seen = render_prompt(row["prompt"]), one.cut["history"]
            whole = tokenizer(text)["input_ids"]
            kept = (
                whole[1 - limits.max_prompt_length :]
                if limits.truncation_mode == "keep_end"
                else whole[1 : len(one.ids)]
            )
            assert one.ids[1:] == kept
            # What a judge is shown; a cut may fall into a character.
            if limits.truncation_mode == "keep_end":
                assert text.removesuffix(TAGS["assistant"]).endswith(seen[1:])
            else:
                assert text.startswith(seen[:-1])
    cut = pairs.counts["prompts_cut"] / pairs.counts["sequences"]
    return 100 * cut, 100 * sum(one.cut["prompts_cut"] for one in asked) / len(rows)


@pytest.mark.parametrize(
    ("name", "cut_prompts", "expected"),
    [
        ("hh", "always", 12.5),
        ("hh", "with_response", 2.1),
        ("tldr", "always", 68.6),
        ("tldr", "with_response", 2.9),
        ("ultrafeedback", "always", 8.6),
        ("ultrafeedback", "with_response", 4.1),
    ],
)
def test_sampling_cuts_the_prompts_that_training_cuts(
    name: str, cut_prompts: CutPrompts, expected: float, tokenizer: Any
) -> None:
    training, sampling = shares(rows_of(name), Limits(*DATASETS[name], cut_prompts), tokenizer)
    assert sampling == pytest.approx(expected, abs=0.5)
    # Of both responses, of which sampling knows the chosen one.
    assert training == pytest.approx(sampling, abs=1e-9 if cut_prompts == "always" else 0.7)
