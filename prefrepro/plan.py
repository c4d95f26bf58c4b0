"""From table specs to jobs: every data set, training, sample set and verdict set that a table needs, each once.

Imports neither torch nor Snakemake.
"""

from __future__ import annotations

from typing import Any

from prefrepro.data.select import SELECTIONS
from prefrepro.errors import UserError
from prefrepro.introspect import Method, code_digest, hparam_problems, read_method
from prefrepro.judge.config import judge_config
from prefrepro.nodes import Plan
from prefrepro.spec import (
    ROLLOUT_KEYS,
    ROLLOUT_SOURCES,
    SETTINGS,
    Column,
    Row,
    Table,
    make_config,
    read_named,
    read_paper,
    read_scale,
    read_table,
    report,
    show,
    stand_in,
    table_files,
    unknown_keys,
)


def make_plan(given: dict[str, Any] | None = None) -> Plan:
    """The plan of every table at the config's scale. Raises UserError with the problems of all specs together."""
    config = make_config(given or {})
    plan = Plan(config, read_scale(config.scale))
    problems = []
    for path in table_files():
        try:
            table = read_table(path)
            if table.scales is not None and config.scale not in table.scales:
                continue
            _Expander(plan, table, read_paper(path.parent / "paper.yaml")).expand()
        except UserError as error:
            problems += error.problems
    report(list(dict.fromkeys(problems)))  # what several tables share is said once
    return plan


class _Expander:
    """Expands one table into nodes of the plan."""

    def __init__(self, plan: Plan, table: Table, paper: dict[str, Any]) -> None:
        self.plan, self.table, self.paper = plan, table, paper
        self.config, self.scale = plan.config, plan.scale
        self.where = f"paper_tables/{table.paper}/{table.name}.yaml"
        self.reading = paper["readings"][self.config.reading]

    def _check_settings(self) -> None:
        """A misspelt setting would fail in the middle of the work, or be ignored."""
        problems = []
        for section in SETTINGS:
            known = list(self.paper["sampling" if section == "sampling" else "training"])
            problems += unknown_keys(self.scale[section], known, f"config/scales/{self.config.scale}.yaml, {section}")
        known = list(self.paper["training"])
        for source in ROLLOUT_SOURCES:
            here = f"config/scales/{self.config.scale}.yaml, rollout, {source}"
            problems += unknown_keys(self.scale["rollout"][source], [*known, *ROLLOUT_KEYS, "hparams"], here)
        for row in self.table.rows:
            problems += unknown_keys(row.training, known, f"{self.where}, row {row.key}, training")
        report(problems)

    def expand(self) -> None:
        self._check_settings()
        cells = [self._cell(row, column) for row in self.table.rows for column in self.table.columns]
        spec = {
            "paper": self.table.paper,
            "table": self.table.name,
            "title": self.table.title,
            "where": self.table.where,
            "notes": self.table.notes,
            "is_printed": self.table.scales is None,
            "scale": self.config.scale,
            "scale_description": self.scale["description"],
            "reading": self.config.reading,
            "protocol": self.config.protocol,
            "cells": cells,
        }
        verdicts = {node: node for cell in cells for node in cell["verdict_ids"]}
        name = f"{self.table.paper}_{self.table.name}"
        node_id = self.plan.add("table", name, spec, verdicts)
        self.plan.tables[self.table.target] = self.plan.nodes[node_id]

    def _settings(self, section: str, *more: dict[str, Any]) -> dict[str, Any]:
        """The paper's values, then the scale's, then the reading's, then what is more special."""
        base = dict(self.paper[section]) | self.scale[section] | self.reading.get(section, {})
        for values in more:
            base |= values
        return base

    def _stand_in(self, kind: str, name: str) -> str:
        return stand_in(self.scale, self.config.scale, kind, name, self.where)

    def _cell(self, row: Row, column: Column) -> dict[str, Any]:
        method = read_method(row.method)
        seeds = range(1, self.config.seeds + 1)
        runs = [self._run(row, column, method, seed) for seed in seeds]
        samples = [self._sample(run, column, seed) for run, seed in zip(runs, seeds, strict=True)]
        verdicts = [self._verdict(sample, column) for sample in samples]
        judge = self._judge_name(column)
        return {
            "paper": self.table.paper,
            "table": self.table.name,
            "row": row.key,
            "row_label": row.label,
            "column": column.key,
            "column_label": column.label,
            "metric": column.metric,
            "reported": row.reported.get(column.key),
            "where": self.table.where,
            "baseline": self.table.baseline,
            "protocol": self.config.protocol,
            "judge": judge,
            "judge_is_substitute": judge != column.judge,
            "comparable": self.scale["is_comparable"],
            "verdict_ids": verdicts,
            "sample_ids": samples,
            "run_ids": runs,
            "scale": self.config.scale,
            "reading": self.config.reading,
        }

    def _dataset(self, column: Column) -> tuple[str, str]:
        """(node, its short name)"""
        name, files = self._stand_in("datasets", column.dataset), None
        if self.config.hh_files and column.dataset == "hh":
            name, files = "hh-files", self.config.hh_files
        spec = dict(read_named("datasets", name, self.where))
        if files:
            spec["files"], spec["files_sha256"] = files, _hash_files(files)
        sampling = self._settings("sampling")
        spec |= {
            "reading": self.config.reading,
            "n_prompts": sampling["n"],
            "prompt_batch": self.paper["sampling"]["batch_size"],
            "order_seed": sampling["order_seed"],
        }
        return self.plan.add("data", name, {"source": spec}, {}), name

    def _init(self, column: Column) -> tuple[dict[str, str], str, str]:
        """The model that SFT starts from: (inputs, path or hub id, short name)."""
        name = self._stand_in("models", column.model)
        model = read_named("models", name, self.where)
        if model["kind"] == "hub":
            return {}, model["repo"], column.model
        data, data_name = self._dataset(column)
        training = self._settings("training", {"dtype": "float32"}, model["pretraining"])
        spec = {
            "config": model["config"],
            "vocab_size": model["vocab_size"],
            "seed": model["seed"],
            "training": training,
            "hparams": {},
            "part": "pretrain",
            "pairs": None,
            **self._names(column),
        }
        node = self.plan.add("base", f"{name}_{data_name}", spec, {"data": data}, (read_method("sft").path,))
        return {"init": node}, "", column.model

    def _names(self, column: Column) -> dict[str, Any]:
        return {
            "scale": self.config.scale,
            "reading": self.config.reading,
            "dataset": column.dataset,
            "model": column.model,
        }

    def _training_run(
        self, kind: str, method: Method, column: Column, seed: int, training: dict[str, Any], hparams: dict[str, Any],
        inputs: dict[str, str], init: str, part: str = "train", pairs: str | None = None,
    ) -> str:  # fmt: skip
        spec = {
            "method": method.name,
            "hparams": {name: hparams.get(name, f.default) for name, f in method.hparams.items()},
            "training": training,
            "seed": seed,
            "init": init,
            "part": part,
            "pairs": pairs,
            **self._names(column),
        }
        readable = f"{method.name.replace('_', '-')}_{column.model}_{column.dataset}"
        return self.plan.add(kind, readable, spec, inputs, (method.path,))

    def _sft(self, column: Column, seed: int) -> str:
        data, _ = self._dataset(column)
        inputs, init, _ = self._init(column)
        training = self._settings("training", self._settings("sft"))
        # Of ranked data SFT takes each prompt's best response.
        pairs = "best_vs_worst" if self._is_ranked(data) else None
        method = read_method("sft")
        roles = {"data": data, **inputs}
        return self._training_run("sft", method, column, seed, training, {}, roles, init, pairs=pairs)

    def _is_ranked(self, data: str) -> bool:
        return self.plan.nodes[data].spec["source"].get("form") == "ranked"

    def _selection(self, row: Row, method: Method, data: str) -> str | None:
        """Which pairs are made of ranked data. Raises UserError where method, data and `pairs` do not fit."""
        here = f"{self.where}, row {row.key}"
        ranks, is_ranked = method.needs.get("rows") == "groups", self._is_ranked(data)
        if ranks and not is_ranked:
            raise UserError(f"{here}: {method.name} wants groups of scored responses, but the data set holds pairs")
        if is_ranked and not ranks and row.pairs is None:
            known = ", ".join(SELECTIONS)
            raise UserError(
                f'{here}: the data set holds groups; say which pairs {method.name} takes: "pairs", one of {known}'
            )
        if row.pairs is not None and (ranks or not is_ranked):
            why = f"{method.name} takes whole groups" if ranks else "the data set already holds pairs"
            raise UserError(f'{here}: "pairs" is set, but {why}')
        return row.pairs

    def _judging_reward_model(self, column: Column) -> str:
        """The one that stands in for a judge: of the part that no policy sees."""
        data, _ = self._dataset(column)
        inputs, init, _ = self._init(column)
        training = self._settings("training", self._settings("reward_model"))
        method = read_method("bradley_terry")
        return self._training_run(
            "reward_model", method, column, 1, training, {}, {"data": data, **inputs}, init, part="judge"
        )

    def _rewarding_reward_model(self, column: Column, inputs: dict[str, str], pairs: str | None, seed: int) -> str:
        """The one that a policy is trained on: of the policy's own training pairs, from its own SFT model."""
        training = self._settings("training", self._settings("reward_model"))
        roles = {role: inputs[role] for role in ("data", "init")}
        method = read_method("bradley_terry")
        return self._training_run("reward_model", method, column, seed, training, {}, roles, "", pairs=pairs)

    def _rollout(self, row: Row) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Of a rollout method under this reading: its training fields, hyper-parameters and rollout settings.

        Raises UserError where they are incomplete or do not fit.
        """
        source = self.reading.get("rollouts", "policy")
        given = self.paper["rollout"][source] | self.scale["rollout"][source]
        hparams = given.pop("hparams", {})
        here = f"{self.where}, row {row.key}"
        problems = [f"{here}: {problem}" for problem in hparam_problems(read_method(row.method), hparams)]
        lacking = [name for name in ROLLOUT_KEYS if name not in given]
        if lacking:
            spec = f"paper_tables/{self.table.paper}/paper.yaml"
            problems.append(f"{here}: {row.method} wants {', '.join(lacking)}; set them in {spec}, rollout, {source}")
        report(problems)
        settings = {"responses": source, **{name: given.pop(name) for name in ROLLOUT_KEYS}}
        size = (self._settings("training", given, row.training))["batch_size"]
        if size % settings["minibatches"]:
            parts = settings["minibatches"]
            raise UserError(f"{here}: batch_size {size} does not divide into {parts} minibatches; change one of them")
        return given, hparams, settings

    def _run(self, row: Row, column: Column, method: Method, seed: int) -> str:
        if method.needs.get("rows") == "demonstrations":
            return self._sft(column, seed)
        is_rollout = method.needs.get("shape") == "rollout"
        given, own_hparams, rollout = self._rollout(row) if is_rollout else ({}, {}, None)
        training = self._settings("training", given, row.training)
        if method.needs.get("rows") == "balanced" and (balanced := self.reading.get("balanced")):
            training["batch_size"] //= balanced["batch_divisor"]
            training["contrast_size"] //= balanced["contrast_divisor"]
        if method.needs.get("rows") == "mixed" and self.config.reading == "paper":
            training["contrast_size"] = training["batch_size"]  # D10: the reference point is of the whole batch
        hparams = {"reading": self.config.reading} if "reading" in method.hparams else {}
        hparams |= own_hparams | row.hparams
        data, data_name = self._dataset(column)
        pairs = self._selection(row, method, data)
        inputs = {"data": data, "init": self._sft(column, seed)}
        limits = {name: training[name] for name in ("max_length", "max_prompt_length", "truncation_mode")}
        if method.needs.get("reference", True):
            spec = limits | {"dtype": training["dtype"], "micro_batch": training["micro_batch"], "init": ""}
            spec |= {"threads": training["threads"], "mismatched": method.needs.get("mismatched", False)}
            readable = f"sft_{column.model}_{data_name}"
            inputs["reference"] = self.plan.add("reference", readable, spec, {"data": data, "init": inputs["init"]})
        if method.needs.get("embeddings"):
            inputs["embeddings"] = self._embeddings(row, column, data, limits, method.needs["embeddings"])
        if rollout:
            training["rollout"] = rollout
            if rollout["responses"] == "policy":
                inputs["reward_model"] = self._rewarding_reward_model(column, inputs, pairs, seed)
        return self._training_run("run", method, column, seed, training, hparams, inputs, "", pairs=pairs)

    def _embeddings(self, row: Row, column: Column, data: str, limits: dict[str, Any], text: str) -> str:
        if row.embedder is None:
            raise UserError(f"{self.where}, row {row.key}: {row.method} needs an embedder, and none is named")
        name = self._stand_in("embedders", row.embedder)
        embedder = read_named("embedders", name, self.where)
        inputs, init, _ = self._init(column)
        spec = limits | {"embedder": embedder, "text": text, "tokenizer": init}
        roles = {"data": data, **({"tokenizer": inputs["init"]} if inputs else {})}
        return self.plan.add("embeddings", f"{name}_{column.dataset}", spec, roles)

    def _sample(self, run: str, column: Column, seed: int) -> str:
        data, _ = self._dataset(column)
        spec = {"sampling": self._settings("sampling"), "seed": seed}
        readable = self.plan.nodes[run].id.rpartition("_")[0]
        return self.plan.add("sample", readable, spec, {"data": data, "run": run})

    def _judge_name(self, column: Column) -> str:
        if self.config.judge:
            return self.config.judge
        if self.config.hh_files and column.dataset == "hh":
            return self.scale["files_judge"]
        return self._stand_in("judges", column.judge)

    def _verdict(self, sample: str, column: Column) -> str:
        name = self._judge_name(column)
        judge = read_named("judges", name, self.where)
        judge_config(judge, f"config/judges/{name}.yaml")
        spec = {"judge": judge, "protocol": self.config.protocol, "template": column.template}
        inputs = {"sample": sample}
        if judge.get("scorer") == "reward-model":
            inputs["scorer"] = self._judging_reward_model(column)
        if judge.get("scorer") == "world":
            spec["scorer_digest"] = code_digest("prefrepro.data.world.reward")
        readable = f"{self.plan.nodes[sample].id.rpartition('_')[0]}_{name}"
        return self.plan.add("verdict", readable, spec, inputs)


def _hash_files(files: str) -> dict[str, str]:
    """Content hash of each local file, so that other content is another dataset."""
    from prefrepro.data.local import data_files
    from prefrepro.files import sha256_file

    return {show(path): sha256_file(path) for path in data_files(files)}
