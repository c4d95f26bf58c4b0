"""A released reward model as a scorer: any sequence classifier with one logit, such as Skywork-Reward-V2.

The answer is the last message of the conversation, rendered by the model's own chat template, and the logit is the
score, as the model cards of Skywork-Reward-V2 show it. Scores have no unit: only differences count.
"""

from __future__ import annotations

import queue
import re
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from prefrepro.data.hub import checkpoint, commit_of
from prefrepro.data.template import TAGS, Message, adds_bos, render_history
from prefrepro.errors import UserError
from prefrepro.files import sha256_file
from prefrepro.model.load import device, load_tokenizer

BATCH = 16
"""Most answers that one forward pass scores."""
TAG = re.compile("|".join(f"(?:{re.escape(tag)})" for tag in TAGS.values()))


def located(weights: str, revision: str | None) -> tuple[Path, str]:
    """The model's folder, a path or of the hub, and what names its content: a commit, or the hash of its weights.

    Raises UserError where it cannot be had.
    """
    folder = checkpoint(weights, revision)
    files = sorted(folder.glob("*.safetensors"))
    return folder, commit_of(folder) or "+".join(sha256_file(file) for file in files)


def messages_of(history: str) -> list[Message]:
    """The inverse of `render_history`; text without a tag is one user message."""
    parts = TAG.split(history)
    if len(parts) == 1:
        return [{"role": "user", "content": history}]
    roles = [tag.strip("\n<|>") for tag in TAG.findall(history)]
    return [{"role": role, "content": text} for role, text in zip(roles, parts[1:], strict=True)]


class Classifier:
    """(history, response) -> logit. Thread-safe: what several threads ask for at once is scored in one batch."""

    def __init__(self, folder: Path) -> None:
        self.is_batched = True
        """The server need not wait for one answer before it asks for the next."""
        self.batches: list[int] = []
        """How many answers each forward pass scored."""
        self._tokenizer = load_tokenizer(folder)
        self._model = _load(folder)
        self._longest = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        self._waiting: queue.Queue[tuple[str, str, Future[float]]] = queue.Queue()
        threading.Thread(target=self._work, daemon=True).start()

    def __call__(self, history: str, response: str) -> float:
        """Raises ValueError where the text is longer than the model reads."""
        answer: Future[float] = Future()
        self._waiting.put((history, response, answer))
        return answer.result()

    def _work(self) -> None:
        while True:
            asked = [self._waiting.get()]
            while len(asked) < BATCH and not self._waiting.empty():
                asked.append(self._waiting.get())
            readable = []
            for history, response, answer in asked:
                try:
                    readable.append((self._encode(history, response), answer))
                except Exception as error:  # noqa: BLE001  it is the caller's, in its own thread
                    answer.set_exception(error)
            try:
                scores = self._score([ids for ids, _ in readable])
            except Exception as error:  # noqa: BLE001
                for _, answer in readable:
                    answer.set_exception(error)
                continue
            for (_, answer), score in zip(readable, scores, strict=True):
                answer.set_result(score)

    def _encode(self, history: str, response: str) -> list[int]:
        messages = [*messages_of(history), {"role": "assistant", "content": response}]
        if self._tokenizer.chat_template:
            text: str = self._tokenizer.apply_chat_template(messages, tokenize=False)
            if adds_bos(self._tokenizer):
                text = text.removeprefix(self._tokenizer.bos_token)
        else:
            text = render_history(messages) + self._tokenizer.eos_token  # as the reward models trained here
        ids: list[int] = self._tokenizer(text)["input_ids"]
        if self._longest is not None and len(ids) > self._longest:
            raise ValueError(f"conversation and answer have {len(ids)} tokens, the reward model reads {self._longest}")
        return ids

    @torch.inference_mode()
    def _score(self, sequences: list[list[int]]) -> list[float]:
        """The logit at each sequence's last token.

        The model looks for the last token that is no padding, so the padding is a token that no sequence holds.
        """
        if not sequences:
            return []
        self.batches.append(len(sequences))
        used = {token for ids in sequences for token in ids}
        pad = next(token for token in range(len(used) + 1) if token not in used)
        self._model.config.get_text_config().pad_token_id = pad
        width = max(map(len, sequences))
        ids = torch.tensor([ids + [pad] * (width - len(ids)) for ids in sequences], device=self._model.device)
        mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in sequences], device=ids.device)
        return self._model(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist()


def _load(folder: Path) -> Any:
    """The model: bfloat16 on a GPU, float32 on a CPU. Raises UserError where it is no reward model of one logit."""
    place = device()
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    model, report = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    if report["missing_keys"] or model.config.num_labels != 1:
        lacking = ", ".join(sorted(report["missing_keys"])) or "nothing"
        raise UserError(
            f"{folder}: found {model.config.num_labels} labels, and {lacking} missing among the weights; expected a "
            "sequence classifier with one logit (a reward model such as Skywork/Skywork-Reward-V2-Qwen3-0.6B)."
        )
    return model.eval().to(place)
