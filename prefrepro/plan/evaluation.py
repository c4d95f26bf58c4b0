"""One row × column of a table as nodes: its samples and verdicts, after the training that training.py adds.

Imports neither torch nor Snakemake.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.plan.code_digest import code_digest
from prefrepro.plan.training import Hub, Trainings, content_hash
from prefrepro.specs.evaluation import EVALUATIONS
from prefrepro.specs.sources import read_named
from prefrepro.specs.table import Column, Row


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
        return known[column.evaluation] | own | self.reading.section("evaluations").get(column.evaluation, {})

    def external(self, row: Row) -> Hub | None:
        """The released model of a row that trains nothing, where it is to be run; None: its number is cited."""
        name = self.scale["external"].get(row.external)
        if name is None or self.config.external == "cite":
            return None
        model = read_named("models", name, self.where)
        return {key: model[key] for key in ("repo", "revision", "template") if key in model}

    def shown(self, column: Column, hashes: list[str]) -> str:
        """The prompts of these hashes, of the column's evaluation."""
        data, file = self.dataset(self.evaluation(column).get("prompts") or column.dataset)
        source = self.plan.nodes[data].spec["source"] | {"prompt_sha256": hashes}
        return self.plan.add("data", file, {"source": source}, {}, dataset=file)

    def sample(self, column: Column, run: str | None, model: Hub | None, seed: int, data: str | None = None) -> str:
        """A run's answers, or those of a released model, to the prompts of the column's evaluation, or of `data`."""
        prompts = self.evaluation(column).get("prompts")
        data = data or self.dataset(prompts or column.dataset)[0]
        sampling = self.cuts(prompts or column.dataset)
        sampling |= self.settings("sampling", self._of_prompt_set(prompts) if prompts else {}, column.sampling)
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
            "ignore_extra": bool(given.get("ignore_extra")),
            "sampling": {"n": sampling["n"]},
        }
        readable = "_".join(["imported-" + row.key, column.model, (prompts or column.dataset).replace("_", "-")])
        of = {"model": column.model, "dataset": prompts or column.dataset}
        return self.plan.add("import", readable, spec, {"data": data}, **of)

    def judge_name(self, column: Column) -> str:
        """The name in config/judges of who judges a column."""
        if self.config.judge:
            return self.config.judge
        if self.config.hh_files and column.dataset == "hh":
            return self.scale["files_judge"]
        return self.stand_in("judges", self.evaluation(column)["judge"])

    def verdict(self, sample: str, column: Column) -> str:
        """The verdicts on a sample set."""
        name = self.judge_name(column)
        judge = read_named("judges", name, self.where)
        if self.config.repeat:
            judge |= {"repeat": asdict(self.config.repeat)}
        evaluation = {k: v for k, v in self.evaluation(column).items() if k not in ("judge", "prompts")}
        kind = evaluation["evaluation"]
        protocol = self.config.protocol if kind == "pairwise" else "paper"
        spec = {"judge": judge, "protocol": protocol, **evaluation}
        inputs = {"sample": sample}
        if judge.get("scorer") == "reward-model":
            inputs["scorer"] = self._judging_reward_model(column)
        if judge.get("scorer") == "world":
            spec["scorer_digest"] = code_digest("prefrepro.data.world.reward")
        of, label = self.plan.nodes[sample], evaluation.get("annotator")
        readable = "_".join(filter(None, (of.name, label, name)))
        return self.plan.add(
            "verdict", readable, spec, inputs, EVALUATIONS[kind], method=of.method, model=of.model, dataset=of.dataset
        )
