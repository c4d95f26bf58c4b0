"""One row × column of a table as nodes: its samples and verdicts, or ranked pairs, after what training.py adds.

Imports neither torch nor Snakemake.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prefrepro.data.truncate import LIMITS
from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.plan.code_digest import code_digest
from prefrepro.plan.dataset import content_hash, refuse_pairless
from prefrepro.plan.judges import DATES
from prefrepro.plan.nodes import Node
from prefrepro.plan.training import HUB, Hub, Trainings, computed_in
from prefrepro.specs.evaluation import EVALUATIONS, LABELS, PREFERENCE
from prefrepro.specs.method import read_method
from prefrepro.specs.sources import read_named
from prefrepro.specs.table import HELD_OUT, Column, Row

Source = tuple[str | None, Hub | None, int]
"""(training or base model of the plan, model of the hub, seed): what answers or ranks for a row"""


class Expander(Trainings):
    """Adds the nodes of one table's rows × columns to the plan."""

    def evaluation(self, column: Column) -> dict[str, Any]:
        """A column's evaluation as paper.yaml, scale and switches say it. Raises UserError for an unknown one."""
        known = self.paper["evaluations"]
        if column.evaluation not in known:
            raise UserError(
                f'{self.where}, column {column.key}: evaluation "{column.evaluation}" is unknown. '
                f"Known: {', '.join(known)}."
            )
        own = self.scale["evaluations"].get(column.evaluation, {})
        found = known[column.evaluation] | own | self.reading.section("evaluations").get(column.evaluation, {})
        if (found["evaluation"] == PREFERENCE) != (column.metric in HELD_OUT):
            raise UserError(
                f"{self.where}, column {column.key}: metric {column.metric} and evaluation {column.evaluation} do not "
                f"go together; {' and '.join(HELD_OUT)} are the metrics of a {PREFERENCE} evaluation, and of no other"
            )
        return found

    def external(self, row: Row) -> tuple[str | None, Hub] | None:
        """The model of a row that trains nothing, where it is to be run: (node of a package's weights, what the hub
        has of it). None: its number is cited."""
        name = self.scale["external"].get(row.external)
        if name is None or self.config.external == "cite":
            return None
        model = read_named("models", name, self.where)
        if model["kind"] == "package":
            return self.package(name, model), ""
        return None, {key: model[key] for key in HUB if key in model}

    def sources(self, row: Row, column: Column, seeds: Iterable[int]) -> list[Source]:
        """What answers or ranks for a row: its training of each seed, or one model; none of a number that is cited."""
        if row.untrained:
            inputs, model = self._base(column, 1)
            return [(inputs.get("init"), model or None, 1)]
        if row.external:
            model = self.external(row)
            return [(*model, 1)] if model else []
        return [(self.run(row, column, seed), None, seed) for seed in seeds]

    def shown(self, column: Column, hashes: list[str]) -> str:
        """The prompts of these hashes, of the column's evaluation."""
        data, file = self.dataset(self.evaluation(column).get("prompts") or column.dataset)
        node = self.plan.nodes[data]
        source = node.spec["source"] | {"prompt_sha256": hashes}
        return self.plan.add("data", file, {"source": source}, {}, dataset=file)

    def sample(self, column: Column, run: str | None, model: Hub | None, seed: int, data: str | None = None) -> str:
        """Answers of a run, a package's weights or a released model to the prompts of the evaluation, or of `data`."""
        prompts = self.evaluation(column).get("prompts")
        data = data or self.dataset(prompts or column.dataset)[0]
        sampling = self.cuts(prompts or column.dataset)
        sampling |= self.settings("sampling", self._of_prompt_set(prompts) if prompts else {}, column.sampling)
        if sampling["max_prompt_length"] >= sampling["max_length"]:
            raise UserError(
                f"{self.where}, column {column.key}: sampling cuts prompts to {sampling['max_prompt_length']} tokens, "
                f"and max_length is {sampling['max_length']}: no token is left for an answer. Raise max_length "
                "under `sampling` in the scale's file, the paper's or the column's"
            )
        if sampling.get("generations") and (most := self.scale["max_draws"]):
            sampling["generations"] = [[t, min(draws, most)] for t, draws in sampling["generations"]]
        spec = {"sampling": sampling, "seed": seed, "model": model or ""}
        readable = self.plan.nodes[run].name if run else f"external_{column.model}"
        readable = f"{readable}_{prompts.replace('_', '-')}" if prompts else readable
        inputs = {"data": data, "run": run} if run else {"data": data}
        of = {"method": self.plan.nodes[run].method if run else None, "model": column.model}
        return self.plan.add("sample", readable, spec, inputs, **of, dataset=prompts or column.dataset)

    def imported(self, row: Row, column: Column) -> str:
        """Answers that were made elsewhere to the prompts of the column's evaluation."""
        prompts, given = self.evaluation(column).get("prompts"), row.samples[column.key]
        data, _ = self.dataset(prompts or column.dataset)
        sampling = self.settings("sampling", self._of_prompt_set(prompts) if prompts else {}, column.sampling)
        path = ROOT / given["file"]
        spec = {
            "source": given["file"],
            "source_sha256": content_hash(path),
            "map": given["map"],
            **{key: bool(given.get(key)) for key in ("ignore_extra", "ignore_missing")},
            "sampling": {"n": sampling["n"]},
        }
        readable = "_".join(["imported-" + row.key, column.model, (prompts or column.dataset).replace("_", "-")])
        of = {"model": column.model, "dataset": prompts or column.dataset}
        return self.plan.add("import", readable, spec, {"data": data}, **of)

    def preference(self, column: Column, run: str | None, model: Hub | None) -> str:
        """How a training, or a model that nobody trains here, ranks the held-out responses that the column names."""
        evaluation = self.evaluation(column)
        data, _ = self.dataset(column.dataset)
        if isinstance(model, dict) and model.get("tokens"):
            raise UserError(
                f"{self.where}, column {column.key}: {model['repo']} is ranked untrained, and `tokens` of its file is "
                "not read there; rank its SFT, or save its tokenizer with these tokens in a folder and name that"
            )
        refuse_pairless(self.plan.nodes[data].spec["source"], f"{self.where}, column {column.key}: {column.metric}")
        if column.metric == "top1_pct" and not self._is_ranked(data):
            raise UserError(
                f"{self.where}, column {column.key}: top1_pct wants groups of responses, but the data set holds pairs; "
                "accuracy_pct counts pairs"
            )
        return self._ranking(column, run, model, evaluation, data)

    def judge_check(self, column: Column) -> str | None:
        """How the reward model that judges a column ranks held-out pairs; None where no reward model judges it."""
        judge: dict[str, Any] = read_named("judges", self.judge_name(column), self.where)
        if judge.get("scorer") != "reward-model":
            return None
        held_out = {"part": "eval", "by": "reward"}
        return self._ranking(
            column, self._judging_reward_model(column), None, held_out, self.dataset(column.dataset)[0]
        )

    def _ranking(
        self, column: Column, run: str | None, model: Hub | None, evaluation: dict[str, Any], data: str
    ) -> str:
        """A preference node. Where the reward is asked for, what has no reference is ranked by what its method's REWARD
        names, else by its log-prob."""
        node = self.plan.nodes[run] if run else None
        trained = node if node and node.method else None
        training = (
            trained.spec["training"] if trained else self._training_settings(column.dataset, dict(column.training))
        )
        method = read_method(trained.method) if trained and trained.method else None
        needs = method.needs if method else {"reference": False}
        output = needs.get("output", "logp")
        has_reference, by = needs.get("reference", True), evaluation["by"]
        if output == "score":
            by = "reward"
        elif by == "reward" and not has_reference:
            by = method.reward if method else "logp"
        spec = {name: training[name] for name in (*LIMITS, "micro_batch", "threads", "logp_dtype") if name in training}
        dtype = evaluation.get("dtype") or computed_in(training)
        spec |= {"evaluation": PREFERENCE, "part": evaluation["part"], "by": by, "dtype": dtype, "output": output}
        spec |= {"model": model or "", "protocol": "paper"}
        inputs = {"data": data, **({"run": run} if run else {})}
        if trained and has_reference:
            inputs["reference"] = self._reference_of(trained, evaluation["part"], dtype)
        readable = f"{node.name if node else f'untrained_{column.model}_{column.dataset}'}_{evaluation['part']}"
        of = {"method": trained and trained.method, "model": column.model, "dataset": column.dataset}
        return self.plan.add("preference", readable, spec, inputs, **of)

    def _reference_of(self, run: Node, part: str, dtype: str) -> str:
        """The reference log-probs of a part: the run's own node, or one that all runs of the same start share."""
        own = self.plan.nodes[run.inputs["reference"]]
        if part in own.spec["parts"] and dtype == own.spec["dtype"]:
            return own.id
        spec = {key: value for key, value in own.spec.items() if key not in ("kind", "code_digest", "read")}
        spec |= {"parts": [part], "dtype": dtype}
        return self.plan.add("reference", own.name, spec, own.inputs, model=own.model, dataset=own.dataset)

    def judge_name(self, column: Column) -> str:
        """The name in config/judges of who judges a column; what stands in its place where nobody does."""
        if self.evaluation(column)["evaluation"] == PREFERENCE:
            return LABELS
        if self.config.judge:
            return self.config.judge
        if self.config.hh_files and column.dataset == "hh":
            return self.scale["files_judge"]
        return self.stand_in("judges", self.evaluation(column)["judge"])

    def verdict(self, sample: str, column: Column) -> str:
        """The verdicts on a sample set. Raises UserError where the embedded world's judge would see other texts."""
        name = self.judge_name(column)
        judge = {key: value for key, value in read_named("judges", name, self.where).items() if key not in DATES}
        if self.config.repeat:
            judge = judge | {"repeat": self.config.repeat}
        evaluation = {k: v for k, v in self.evaluation(column).items() if k not in ("judge", "prompts")}
        kind = evaluation["evaluation"]
        protocol = self.config.protocol if kind == "pairwise" else "paper"
        spec = {"judge": judge, "protocol": protocol, **evaluation}
        inputs = {"sample": sample}
        if judge.get("scorer") == "reward-model":
            inputs["scorer"] = self._judging_reward_model(column)
        if judge.get("scorer") == "world":
            data = self.plan.nodes[self.plan.nodes[sample].inputs["data"]]
            if data.spec["source"].get("kind") == "rows":
                raise UserError(
                    f"{self.where}, column {column.key}: judge {name} knows the reward of the embedded world alone, "
                    f"and {data.dataset} are data of your own. Next: --config judge=NAME (docs/add-judge.md), or an "
                    "evaluation of held-out pairs, which needs no judge"
                )
            spec["scorer_digest"] = code_digest("prefrepro.data.world.reward")
        of, label = self.plan.nodes[sample], evaluation.get("annotator")
        readable = "_".join(filter(None, (of.name, label, name)))
        return self.plan.add(
            "verdict", readable, spec, inputs, EVALUATIONS[kind], method=of.method, model=of.model, dataset=of.dataset
        )
