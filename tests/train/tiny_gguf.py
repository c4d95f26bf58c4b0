"""A package that carries a random model of two layers as a GGUF, and a folder where such a package is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel

NAME = "a-tiny-model"
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WIDTH, LAYERS = 64, 2


def install(site: Path) -> Path:
    """The package in a folder of packages, version 1.2, with one file that is no model; the file."""
    (site / "tiny").mkdir(parents=True)
    file = site / "tiny" / "model.gguf"
    file.write_bytes(b"GGUF of a kind")
    info = site / "a_tiny_model-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.2\n", encoding="utf-8")
    (info / "RECORD").write_text("tiny/model.gguf,,\n", encoding="utf-8")
    return file


def write_gguf(path: Path, architecture: str = "llama") -> dict[str, Any]:
    """A random model of two layers as a GGUF, its matrices in Q4_1; the matrices as they are when read back."""
    gguf: Any = pytest.importorskip("gguf", reason="the package gguf is not installed (make setup-real)")
    numpy = pytest.importorskip("numpy")
    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "Ġt", *sorted(ByteLevel.alphabet())]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([3, 3, 3] + [1] * (len(words) - 3))
    writer.add_token_merges(["Ġ t"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    shapes = {"token_embd.weight": (len(words), WIDTH), "output_norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        own = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH // 2, WIDTH), "attn_v": (WIDTH // 2, WIDTH),
               "attn_output": (WIDTH, WIDTH), "ffn_gate": (2 * WIDTH, WIDTH), "ffn_up": (2 * WIDTH, WIDTH),
               "ffn_down": (WIDTH, 2 * WIDTH), "attn_norm": (WIDTH,), "ffn_norm": (WIDTH,)}  # fmt: skip
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in own.items()}
    numbers, kept = numpy.random.default_rng(0), {}
    for name, shape in shapes.items():
        values = numbers.normal(size=shape).astype("float32")
        if len(shape) == 1:
            writer.add_tensor(name, values)
            continue
        kind = gguf.GGMLQuantizationType.Q4_1
        packed = gguf.quants.quantize(values, kind)
        kept[name] = torch.from_numpy(gguf.quants.dequantize(packed, kind))
        writer.add_tensor(name, packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return kept
