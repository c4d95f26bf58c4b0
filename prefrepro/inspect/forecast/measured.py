"""What earlier jobs at this scale took: seconds per unit of work, and tokens of an answer and of a judge's call.

Read from run.json and manifest.json (what runs.csv is made of), verdicts.csv and Snakemake's benchmarks. A job of an
older plan counts too, since other code of the same kind and model is a better guess than none; a file of an older
version that lacks a field is passed over.
"""

from __future__ import annotations

import contextlib
import csv
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prefrepro.inspect.forecast.sizes import read_json
from prefrepro.inspect.forecast.work import label_of
from prefrepro.inspect.results import benchmark_seconds
from prefrepro.plan.kinds import KINDS

Group = tuple[str, ...]
"""What jobs have in common: their kind, then parts of their readable names."""
COUNTED: dict[str, Callable[[dict[str, Any]], float]] = {
    "data": lambda manifest: 1.0,
    "package": lambda manifest: 1.0,
    "reference": lambda manifest: sum(
        part.get("scored", part["sequences"]) for part in manifest["truncation"].values()
    ),
    "reference_rewards": lambda manifest: manifest["prompts"] * manifest["spec"]["samples"],
    "embeddings": lambda manifest: manifest["texts"],
    "preference": lambda manifest: manifest["truncation"]["sequences"],
}
"""Kinds that leave no count of tokens -> units of work: sequences, or the whole job."""


def groups_of(kind: str, node_id: str) -> list[Group]:
    """The groups that a job belongs to, the narrowest first: of trainings and samples kind, method, model.

    Node ids read <method>_<model>_<dataset>…_<digest>; jobs that are not trainings are like those of the same name.
    """
    parts = node_id.split("_")[:-1]
    if kind in COUNTED:
        return [(kind, *parts)]
    if kind == "base":
        return [(kind, parts[0])]
    return [(kind, *parts[:2]), (kind, *parts[1:2])]


def answer_group(node_id: str) -> Group:
    """Samples whose answers are alike in length: of one model, dataset and prompt set, whatever the method."""
    return ("answer", *node_id.split("_")[1:-1])


class Measured:
    """Medians over the jobs below results/<scale>. Raises UserError where a job's file cannot be read."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self._rates: dict[Group, list[float]] = {}
        self._answers: dict[Group, list[float]] = {}
        self._calls: dict[Group, list[tuple[float, float]]] = {}
        readers = {"runs": self._training, "base": self._training, "samples": self._sample, "verdicts": self._verdict}
        for folder, read in (readers | dict.fromkeys(COUNTED, self._counted)).items():
            name = "run.json" if read == self._training else "manifest.json"
            for path in sorted((results / folder).glob(f"*/{name}")):
                with contextlib.suppress(KeyError, TypeError):  # fields of an older version
                    read(path)

    def seconds_per_unit(self, kind: str, node_id: str) -> float | None:
        """Median of the narrowest group of this job that has any: per token, sequence or whole job."""
        rates = next((self._rates[group] for group in groups_of(kind, node_id) if group in self._rates), None)
        return statistics.median(rates) if rates else None

    def answer_tokens(self, node_id: str) -> float | None:
        """Mean tokens of an answer, of the median sample set of the same model, dataset and prompt set."""
        found = self._answers.get(answer_group(node_id))
        return statistics.median(found) if found else None

    def call_tokens(self, spec: dict[str, Any]) -> tuple[float, float] | None:
        """Mean prompt and completion tokens of a call of the same evaluation to the same judge."""
        found = self._calls.get(_judging_group(spec))
        if not found:
            return None
        return statistics.median(prompt for prompt, _ in found), statistics.median(answer for _, answer in found)

    def _add(self, kind: str, node_id: str, units: float, wall_s: float | None) -> None:
        seconds = self.seconds_of(kind, node_id) or wall_s
        if seconds and units:
            for group in groups_of(kind, node_id):
                self._rates.setdefault(group, []).append(seconds / units)

    def seconds_of(self, kind: str, name: str) -> float | None:
        """Seconds of this job's last attempt, start included; None where Snakemake kept no benchmark."""
        path = self.results / "benchmarks" / KINDS[kind].rule / f"{name}.tsv"
        return statistics.median(benchmark_seconds(path)) if path.is_file() else None

    def _training(self, path: Path) -> None:
        run, node_id = read_json(path), path.parent.name
        kind, wall_s = run["spec"]["kind"], run["row"]["wall_s"]
        # A run that went on after a kill: its benchmark and wall_s are of the last attempt, train_s is of all.
        if run["train_s"] > wall_s:
            for group in groups_of(kind, node_id):
                self._rates.setdefault(group, []).append(run["train_s"] / max(run["row"]["tokens"], 1))
        else:
            self._add(kind, node_id, run["row"]["tokens"], wall_s)

    def _counted(self, path: Path) -> None:
        manifest = read_json(path)
        kind = manifest["spec"]["kind"] if path.parent.parent.name == "verdicts" else path.parent.parent.name
        self._add(kind, path.parent.name, COUNTED[kind](manifest), manifest.get("wall_s"))

    def _sample(self, path: Path) -> None:
        manifest, node_id = read_json(path), path.parent.name
        if manifest.get("engine") == "imported":  # answers made elsewhere took no time here
            return
        self._add("sample", node_id, manifest["n"] * manifest["mean_tokens"], manifest["wall_s"])
        self._answers.setdefault(answer_group(node_id), []).append(manifest["mean_tokens"])

    def _verdict(self, path: Path) -> None:
        manifest = read_json(path)
        if manifest["spec"].get("kind") == "preference":
            self._counted(path)
            return
        group = _judging_group(manifest["spec"])
        if manifest["asked"] > manifest["cached"]:  # cached replies take no time and no new tokens
            seconds = self.seconds_of("verdict", path.parent.name) or manifest["wall_s"]
            self._rates.setdefault(group, []).append(seconds / manifest["asked"])
        tokens = list(_tokens(path.with_name("verdicts.csv")))
        if tokens:
            self._calls.setdefault(group, []).append(
                (statistics.mean(prompt for prompt, _ in tokens), statistics.mean(answer for _, answer in tokens))
            )

    def judging_seconds(self, spec: dict[str, Any]) -> float | None:
        """Median seconds of a call of the same evaluation to the same judge, start included."""
        found = self._rates.get(_judging_group(spec))
        return statistics.median(found) if found else None


def _judging_group(spec: dict[str, Any]) -> Group:
    return ("verdict", label_of(spec), spec["judge"]["name"], spec["judge"]["model"])


def _tokens(verdicts: Path) -> Iterator[tuple[int, int]]:
    """Prompt and completion tokens of each verdict that has them."""
    if verdicts.is_file():
        with verdicts.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["prompt_tokens"] and row["completion_tokens"]:
                    yield int(row["prompt_tokens"]), int(row["completion_tokens"])
