"""The package alpaca_eval, opened with its own annotators and prompts, and kept quiet.

Nothing is written beside the package: its JSON cache is off, the replies are in ours. Its import takes a second
or two, so it happens inside functions.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from prefrepro.specs.evaluation import ANNOTATORS

if TYPE_CHECKING:
    import pandas as pd
    from alpaca_eval.annotators import PairwiseAnnotator

SEED = 0
"""Decides, together with the instruction, which of the two answers is shown first."""
UNPACKAGED = {"weighted_alpaca_eval_gpt4.1": "weighted_alpaca_eval_gpt4_turbo"}
"""Annotator of alpaca_eval's main (at cd543a1) that 0.6.6 lacks -> the one that differs in name and model only"""
CLIENTS = Path(__file__).parent / "clients.yaml"


class Comparison(NamedTuple):
    """What the judge is asked about one instruction."""

    candidate_first: bool
    request: dict[str, Any]


class _WithoutBars(io.TextIOBase):
    """Passes on what is written, but for the package's progress bars."""

    def __init__(self, to: TextIO) -> None:
        self._to = to

    def write(self, text: str) -> int:
        if text.replace("\x1b[A", "").strip() and not text.startswith("\r"):
            self._to.write(text)
        return len(text)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back the package's log, bars and warnings; other loggers' messages pass.

    The package logs to the root logger, which it sets to INFO when imported.
    """
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)

    def silent(_: logging.LogRecord) -> bool:
        return False

    root.addFilter(silent)  # sees only what is logged at the root itself
    if not handlers and logging.lastResort is not None:
        root.addHandler(logging.lastResort)  # else logging.info() would install a handler for good
    with warnings.catch_warnings(), contextlib.redirect_stderr(_WithoutBars(sys.stderr)):
        warnings.simplefilter("ignore")
        try:
            import alpaca_eval.annotators  # noqa: F401

            root.setLevel(level)
            yield
        finally:
            root.removeFilter(silent)
            root.handlers[:] = handlers


def open_annotator(kind: str, model: str) -> PairwiseAnnotator:
    """The package's annotator with its own prompt and parameters, but `model` as the judge."""
    from alpaca_eval.annotators import PairwiseAnnotator

    name = ANNOTATORS[kind]
    annotator = PairwiseAnnotator(annotators_config=UNPACKAGED.get(name, name), seed=SEED, caching_path=None)
    # A model with "instruct" in its name would be taken for one that completes text.
    single(annotator).completions_kwargs.update(model_name=model, requires_chatml=True)
    return annotator


def single(annotator: PairwiseAnnotator) -> Any:
    """The only annotator of its pool."""
    (only,) = annotator.annotators.values()
    return only


def comparisons(annotator: PairwiseAnnotator, pairs: pd.DataFrame) -> list[Comparison]:
    """The requests that annotating `pairs` (instruction, output_1, output_2) leads to, in their order."""
    from alpaca_eval import utils

    one = single(annotator)
    shown = pairs
    for processor in one.processors:
        shown = processor.preprocess(shown)
    prompts, _ = utils.make_prompts(shown, one.prompt_template)
    parameters = {"top_p": 1.0, **one.completions_kwargs}  # decoders/openai.py:173
    parameters["model"] = parameters.pop("model_name")
    del parameters["requires_chatml"]
    return [
        Comparison(bool(switched), {"messages": utils.prompt_to_chatml(prompt.strip()), **parameters})
        for prompt, switched in zip(prompts, shown["is_switched_outputs"], strict=True)
    ]


def annotate(annotator: PairwiseAnnotator, pairs: pd.DataFrame, route: object, concurrency: int) -> list[float | None]:
    """The package's preference for each pair, in their order: 1 = output_1, 2 = output_2, 1.5 = a tie, None = none.

    `route` answers each request (see client.py).
    """
    import pandas as pd

    annotated = annotator.annotate_pairs(
        pairs, chunksize=None, num_procs=concurrency, client_config_path=CLIENTS, client_kwargs={"route": route}
    )
    found = pd.DataFrame(annotated)
    keys = list(pairs.columns)
    if found[keys].to_numpy().tolist() != pairs[keys].to_numpy().tolist():
        raise RuntimeError(f"alpaca_eval gave back {len(found)} rows for {len(pairs)}, or in another order")
    return [None if pd.isna(value) else float(value) for value in found["preference"]]
