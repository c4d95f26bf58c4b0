"""What turns the token ids of prompts into answers in one process: padded batches, continuous batching, or vLLM.

All of them end an answer by the rules of model/decode.py.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from prefrepro.errors import UserError
from prefrepro.model.decode import Answer, answer_of, sampling_arguments, stop_ids
from prefrepro.model.load import load_model
from prefrepro.model.seeds import seed_for
from prefrepro.sample.padded import Engine, Padded, Request


def engine_of(sampling: dict[str, Any], checkpoint: Path, tokenizer: Any) -> Engine:
    """The engine that `sampling` names, with the model of a checkpoint.

    Raises UserError where vLLM is wanted and not installed.
    """
    torch.set_num_threads(sampling["threads"])
    dtype, size = sampling["dtype"], sampling["batch_size"]
    if sampling["engine"] == "vllm":
        return VLLM(checkpoint, tokenizer, dtype, sampling["max_length"])
    model = load_model(checkpoint, dtype)
    if sampling["engine"] == "continuous":
        return Continuous(model, tokenizer, size)
    return Padded(model, tokenizer, size, sampling["seed_per"])


class Continuous(Engine):
    """transformers' continuous batching: an answer that ends makes room for the next prompt at once, on paged keys.

    `batch_size` answers at a time, and a cache that holds so many. One random stream for a call.
    """

    PAGE = 256
    """Tokens, transformers' default: what kernels of flash attention want."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int) -> None:
        self.model, self.tokenizer, self.batch_size = model.eval(), tokenizer, batch_size

    def answers(self, prompts: list[list[int]], request: Request) -> list[Answer]:
        """Raises RuntimeError where an answer is missing."""
        from transformers import ContinuousBatchingConfig, GenerationConfig

        stops = stop_ids(self.tokenizer, request.stop_at)
        manager = self.model.init_continuous_batching(
            generation_config=GenerationConfig(
                eos_token_id=stops,
                pad_token_id=self.tokenizer.pad_token_id,
                **sampling_arguments(request.temperature, request.top_p),
            ),
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=self.PAGE,
                num_blocks=self.batch_size * (-(-request.max_length // self.PAGE) + 1),
                max_requests_per_batch=self.batch_size,
                max_batch_tokens=max(self.batch_size, request.max_length),
                auto_switch_to_flash=self.model.dtype.itemsize == 2,  # it computes in half precision alone
                seed=request.seed,
            ),
        )
        found: dict[str, list[int]] = {}
        try:
            # All are in line before the first is answered: which share a step, and so their draws, is no race.
            names = [manager.add_request(prompt, max_new_tokens=request.room_after(prompt)) for prompt in prompts]
            manager.start()
            while len(found) < len(prompts):
                result = manager.get_result(timeout=1)
                if result is None and not manager.is_running():
                    raise RuntimeError(f"continuous batching stopped with {len(found)} of {len(prompts)} answers")
                if result is not None and result.is_finished():
                    if result.error is not None:
                        raise RuntimeError(f"continuous batching: {result.error}")
                    found[result.request_id] = result.generated_tokens
                    self.advance(1)
        finally:
            manager.stop(block=True)
            manager.destroy()
        return [answer_of(self.tokenizer, found[str(name)], stops, request.stop_at) for name in names]


class VLLM(Engine):
    """vLLM on the first visible device, from the extra [vllm]; the keys of a prompt serve all of its draws.

    Every answer has a seed of its own, so its draws depend on no neighbour.
    """

    seeded_per = "answer"

    def __init__(self, checkpoint: Path, tokenizer: Any, dtype: str, max_length: int) -> None:
        try:
            self.vllm = importlib.import_module("vllm")
        except ImportError as error:
            raise UserError(
                f"sampling.engine is vllm, which cannot be imported ({error}). Next: pip install 'prefrepro[vllm]' "
                "in an environment of its own (docs/sampling.md), or set engine: transformers"
            ) from error
        self.version, self.tokenizer = metadata.version("vllm"), tokenizer
        self.model = self.vllm.LLM(
            model=str(checkpoint),
            dtype=dtype,
            max_model_len=max_length,
            enable_prefix_caching=True,
            generation_config="vllm",  # nothing is left to a checkpoint's generation_config.json
        )

    def answers(self, prompts: list[list[int]], request: Request) -> list[Answer]:
        stops = stop_ids(self.tokenizer, request.stop_at)
        outputs = self.model.generate(
            [{"prompt_token_ids": prompt} for prompt in prompts],  # vllm.TokensPrompt is a TypedDict
            [self.vllm.SamplingParams(**arguments) for arguments in vllm_sampling(prompts, request, stops)],
        )
        self.advance(len(prompts))
        return [
            answer_of(self.tokenizer, list(output.outputs[0].token_ids), stops, request.stop_at) for output in outputs
        ]


def vllm_sampling(prompts: list[list[int]], request: Request, stops: list[int]) -> list[dict[str, Any]]:
    """Arguments of vllm.SamplingParams, one for each prompt. Tokens come back, the one that stopped among them."""
    return [
        {
            "temperature": request.temperature,
            "top_p": request.top_p if request.temperature else 1.0,
            "top_k": 0,
            "seed": seed_for(request.seed, f"answer/{number}"),
            "max_tokens": request.room_after(prompt),
            "stop_token_ids": stops,
            "detokenize": False,
        }
        for number, prompt in enumerate(prompts)
    ]
