"""The training of a row × column as nodes: its data, SFT, reference and embeddings, with everything they start from.

Imports neither torch nor Snakemake.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefrepro.data.package import ORIGIN
from prefrepro.data.truncate import LIMITS
from prefrepro.errors import UserError
from prefrepro.plan.dataset import UNPAIRED, answers_of_others, kept, refuse_unpaired, source_of
from prefrepro.plan.plan import Plan
from prefrepro.specs.adapters import settled, without
from prefrepro.specs.files import report
from prefrepro.specs.method import Method, hparam_problems, read_method
from prefrepro.specs.readings import Reading, merged
from prefrepro.specs.scale import stand_in
from prefrepro.specs.settings import ROLLOUT_KEYS, SELECTIONS, Reference
from prefrepro.specs.sources import Shape, read_named, shape_of
from prefrepro.specs.table import Column, Row, Table

HH_FILES = "hh-files"
SWITCHED = {"hh": ("reading", "turns"), "tldr": ("reading",), "ultrafeedback": ("score_field",)}
"""Kind of dataset -> what of its file a switch may set."""
PRETRAINING = {"dtype": "float32", "schedule": "constant"}
"""The settings of base models made here, whatever a paper says"""
Hub = str | dict[str, Any]
"""{repo, revision, template, tokens} of a model on the hub; empty where a node makes the model."""
HUB = ("repo", "revision", "template", "tokens")


class Trainings:
    """Adds the trainings of one table's rows × columns to the plan."""

    def __init__(self, plan: Plan, table: Table, paper: dict[str, Any], reading: Reading) -> None:
        self.plan, self.table, self.paper, self.reading = plan, table, paper, reading
        self.config, self.scale = plan.config, plan.scale
        self.where = f"paper_tables/{table.paper}/{table.name}.yaml"
        self.starts_from = table.start or paper.get("start", "sft")

    def settings(self, section: str, *more: Mapping[str, Any]) -> dict[str, Any]:
        """The paper's values, then the scale's, then the switches', then what is more special."""
        base = dict(self.paper[section]) | self.scale[section] | self.reading.section(section)
        for values in more:
            base |= values
        return base

    def stand_in(self, kind: str, name: str) -> str:
        """What stands in for a table's name at this scale."""
        return stand_in(self.scale, self.config.scale, kind, name, self.where)

    # Data and what alignment starts from

    def dataset(self, name: str) -> tuple[str, str]:
        """(node, its short name) of the dataset or prompt set that a table calls `name`."""
        file = self._dataset_file(name)
        spec = dict(read_named("datasets", file, self.where))
        if file == HH_FILES:
            spec["files"] = self.config.hh_files
        spec = source_of(spec, file, Path(self.config.data))
        if "parts" in spec and spec["kind"] != "world":  # a world makes as many rows of each part as are wanted
            spec["parts"] = kept(spec["parts"], (self.plan.parts or {}).get(name, set()))
        sampling = self.settings("sampling", self._of_prompt_set(name))
        chosen = self.reading.section("source")
        spec |= {key: chosen[key] for key in SWITCHED.get(spec["kind"], ()) if key in chosen} | {
            "n_prompts": sampling["n"],
            "prompt_batch": self.paper["sampling"]["batch_size"],
            "order_seed": sampling["order_seed"],
        }
        return self.plan.add("data", file, {"source": spec}, {}, dataset=file), file

    def _dataset_file(self, name: str) -> str:
        """The name in config/datasets of what stands in for a table's dataset."""
        return HH_FILES if self.config.hh_files and name == "hh" else self.stand_in("datasets", name)

    def _training_settings(self, name: str, *more: dict[str, Any]) -> dict[str, Any]:
        """Settings of `training` on a dataset, which says what end of a long prompt is cut (dataloader.py:384)."""
        dataset = read_named("datasets", self._dataset_file(name), self.where)
        own = {key: dataset[key] for key in ("truncation_mode",) if key in dataset}
        return self.settings("training", own, *more)

    def cuts(self, name: str) -> dict[str, Any]:
        """What cuts the prompts of a dataset or prompt set when they are answered, as when they are trained on."""
        return {key: value for key, value in self._training_settings(name).items() if key in LIMITS}

    def _of_prompt_set(self, name: str) -> dict[str, Any]:
        """What of `sampling` differs for a prompt set; nothing for a dataset's own evaluation prompts."""
        sources = (self.paper["prompt_sets"], self.scale["prompt_sets"], self.reading.section("prompt_sets"))
        values: dict[str, Any] = {}
        for source in sources:
            values = merged(values, source.get(name, {}))
        if "n" in self.scale["prompt_sets"].get(name, {}):
            values["n"] = min(values["n"], self.scale["prompt_sets"][name]["n"])  # a small world stays small
        return values

    def _base(self, column: Column, seed: int, name: str | None = None) -> tuple[dict[str, str], Hub]:
        """The model that a table names, or `name` of config/models: (inputs, what the hub has of it)."""
        name = name or self.stand_in("models", column.model)
        model = read_named("models", name, self.where)
        if model["kind"] == "hub":
            return {}, {key: model[key] for key in HUB if key in model}
        if model["kind"] == "package":
            return {"init": self.package(name, model)}, ""
        if model["kind"] == "instructed":  # a base model made here, tuned on the best responses of the dataset
            return {"init": self._sft(column, seed, model["base"])}, ""
        return {"init": self._pretrained(column, name, model)}, ""

    def package(self, name: str, model: dict[str, Any]) -> str:
        """The weights of a package as a checkpoint; the same for every data set."""
        spec = {key: model[key] for key in (*ORIGIN, "template", "tokens") if key in model}
        return self.plan.add("package", name, spec, {}, model=name)

    def _pretrained(self, column: Column, name: str, model: dict[str, Any]) -> str:
        """A base model of the column's dataset, or of the one whose language the scale says it shares."""
        language = self.scale["pretrained_on"].get(column.dataset, column.dataset)
        column = column.model_copy(update={"model": name, "dataset": language})
        data, data_name = self.dataset(column.dataset)
        spec = {
            "config": model["config"],
            "vocab_size": model["vocab_size"],
            "seed": model["seed"],
            "training": without(self._training_settings(column.dataset, PRETRAINING, model["pretraining"])),
            "hparams": {},
            "part": "pretrain",
            "pairs": None,
            **self._names(column),
        }
        of = {"model": name, "dataset": column.dataset}
        return self.plan.add("base", f"{name}_{data_name}", spec, {"data": data}, "methods.sft", **of)

    def _names(self, column: Column) -> dict[str, Any]:
        return {
            "scale": self.config.scale,
            "reading": self.config.reading,
            "dataset": column.dataset,
            "model": column.model,
        }

    def _training_run(
        self, kind: str, method: Method, column: Column, seed: int, training: dict[str, Any], hparams: dict[str, Any],
        inputs: dict[str, str], init: Hub, part: str = "train", pairs: str | None = None, k: int | None = None,
    ) -> str:  # fmt: skip
        spec = {
            "method": method.name,
            "hparams": {name: hparams.get(name, f.default) for name, f in method.hparams.items()},
            "training": settled(training, self.where),
            "seed": seed,
            "init": init,
            "part": part,
            "pairs": pairs,
            **({"k": k} if k else {}),
            **self._names(column),
        }
        readable = f"{method.name.replace('_', '-')}_{column.model}_{column.dataset}"
        of = {"method": method.name, "model": column.model, "dataset": column.dataset}
        code = ["prefrepro.model.rollout"] if method.needs.get("shape") == "rollout" else []
        code += ["prefrepro.model.unpaired"] if pairs == UNPAIRED else []
        return self.plan.add(kind, readable, spec, inputs, f"methods.{method.name}", *code, **of)

    def _sft(self, column: Column, seed: int, base: str | None = None) -> str:
        """SFT of the column's model, or of `base` of config/models."""
        data, _ = self.dataset(column.dataset)
        inputs, init = self._base(column, seed, base)
        training = self._training_settings(column.dataset, self.settings("sft"))
        # Of ranked data SFT takes each prompt's best response.
        pairs = {"ranked": "best_vs_worst", "unpaired": UNPAIRED}.get(self._shape(data))
        return self._training_run(
            "sft", read_method("sft"), column, seed, training, {}, {"data": data, **inputs}, init, pairs=pairs
        )

    def _start(self, column: Column, seed: int) -> tuple[dict[str, str], Hub]:
        """What alignment starts from: (inputs, what the hub has of it)."""
        if self.starts_from == "base":
            return self._base(column, seed)
        return {"init": self._sft(column, seed)}, ""

    def _is_ranked(self, data: str) -> bool:
        return self._shape(data) == "ranked"

    def _shape(self, data: str) -> Shape:
        return shape_of(self.plan.nodes[data].spec["source"])

    def _selection(self, row: Row, method: Method, data: str) -> str | None:
        """Which pairs are made of ranked data. Raises UserError where method, data and `pairs` do not fit."""
        here = f"{self.where}, row {row.key}"
        ranks, is_ranked = method.needs.get("rows") == "groups", self._is_ranked(data)
        if self._shape(data) == UNPAIRED:
            refuse_unpaired(self.plan.nodes[data].spec["source"], method, here, row)
            return UNPAIRED
        if ranks and not is_ranked:
            raise UserError(f"{here}: {method.name} wants groups of scored responses, but the data set holds pairs")
        if is_ranked and not ranks and row.pairs is None:
            known = ", ".join(SELECTIONS)
            raise UserError(
                f'{here}: the data set holds groups; say which pairs {method.name} takes: "pairs", one of {known}'
            )
        of_pairs = [name for name in ("embeddings", "mismatched", "reference_rewards") if method.needs.get(name)]
        if is_ranked and of_pairs:
            wants = f"{here}: {method.name} wants {', '.join(of_pairs)}"
            raise UserError(f"{wants}, which are made of pairs, but the data set holds groups")
        if row.k and not is_ranked:
            raise UserError(f'{here}: "k" is set, but the data set holds pairs, not groups of scored responses')
        if row.pairs is not None and (ranks or not is_ranked):
            why = f"{method.name} takes whole groups" if ranks else "the data set already holds pairs"
            raise UserError(f'{here}: "pairs" is set, but {why}')
        return row.pairs

    def _judging_reward_model(self, column: Column) -> str:
        """The one that stands in for a judge: of the part that no policy sees."""
        data, _ = self.dataset(column.dataset)
        method = read_method("bradley_terry")
        refuse_unpaired(self.plan.nodes[data].spec["source"], method, f"{self.where}, the judge of {column.key}")
        inputs, init = self._base(column, 1)
        training = self._training_settings(column.dataset, self.settings("reward_model"))
        return self._training_run(
            "reward_model", method, column, 1, training, {}, {"data": data, **inputs}, init, part="judge"
        )

    def _rewarding_reward_model(
        self, column: Column, inputs: dict[str, str], init: Hub, pairs: str | None, seed: int
    ) -> str:
        """The one that a policy is trained on: of the policy's own training pairs, from the model it starts from."""
        training = self._training_settings(column.dataset, self.settings("reward_model"))
        roles = {role: inputs[role] for role in ("data", "init") if role in inputs}
        method = read_method("bradley_terry")
        return self._training_run("reward_model", method, column, seed, training, {}, roles, init, pairs=pairs)

    def _method(self, row: Row) -> Method:
        """The method of a row: the one that it names, or the file that a switch puts in its place."""
        instead = self.reading.section("planning").get("methods", {})
        return read_method(instead.get(row.method, row.method))

    def _rollout(self, row: Row, method: Method) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The training fields, hyper-parameters and rollout settings of a rollout method under this reading.

        Raises UserError where they are incomplete or do not fit.
        """
        source = self.reading.section("planning").get("rollouts", "policy")
        given = self.paper["rollout"][source] | self.scale["rollout"][source]
        hparams = given.pop("hparams", {})
        here = f"{self.where}, row {row.key}"
        problems = [f"{here}: {problem}" for problem in hparam_problems(method, hparams)]
        lacking = [name for name in ROLLOUT_KEYS if name not in given]
        if lacking:
            spec = f"paper_tables/{self.table.paper}/paper.yaml"
            problems.append(f"{here}: {row.method} wants {', '.join(lacking)}; set them in {spec}, rollout, {source}")
        report(problems)
        settings = {"responses": source, **{name: given.pop(name) for name in ROLLOUT_KEYS}}
        size = (self.settings("training", given, row.training))["batch_size"]
        if size % settings["minibatches"]:
            parts = settings["minibatches"]
            raise UserError(f"{here}: batch_size {size} does not divide into {parts} minibatches; change one of them")
        return given, hparams, settings

    def run(self, row: Row, column: Column, seed: int) -> str:
        """The training of a row × column."""
        method = self._method(row)
        if method.needs.get("rows") == "demonstrations":
            start, _ = self._start(column, seed)
            return start["init"] if self._starts_from_sft(start) else self._sft(column, seed)
        is_rollout = method.needs.get("shape") == "rollout"
        given, own_hparams, rollout = self._rollout(row, method) if is_rollout else ({}, {}, None)
        training = self._training(method, column, given, row.training | column.training)
        if method.needs.get("gather") and training["contrast_size"] > training["batch_size"]:
            raise UserError(
                f"{self.where}, row {row.key}: contrast_size {training['contrast_size']} is more than batch_size "
                f"{training['batch_size']}, but only examples of one batch meet each other. Raise batch_size in the "
                "row's training, or lower contrast_size"
            )
        hparams = own_hparams | row.hparams | column.hparams
        hparams |= self.reading.section("hparams").get(method.name, {})
        data, data_name = self.dataset(column.dataset)
        pairs = self._selection(row, method, data)
        start, init = self._start(column, seed)
        inputs = {"data": data, **start}
        limits = {name: training[name] for name in LIMITS}
        if method.needs.get("reference", True):
            spec = limits | {"dtype": computed_in(training), "micro_batch": training["micro_batch"], "init": init}
            spec |= {name: training[name] for name in ("threads", "logp_dtype") if name in training}
            readable = f"{self.starts_from}_{column.model}_{data_name}"
            of = {"model": column.model, "dataset": column.dataset}
            for role, own in self._referred(method, training, data, pairs, row.k, seed).items():
                inputs[role] = self.plan.add("reference", readable, spec | own, {"data": data, **start}, **of)
            if pairs == UNPAIRED and method.needs.get("mismatched"):
                inputs["other"] = answers_of_others(self.plan, data)
                roles = {"data": inputs["other"], **start}
                inputs["reference_other"] = self.plan.add(
                    "reference", readable, spec | {"parts": ["train"]}, roles, **of
                )
        if method.needs.get("embeddings"):
            embedder = row.embedder or column.embedder
            inputs["embeddings"] = self._embeddings(row, embedder, column, data, limits, method.needs["embeddings"])
        if method.needs.get("reference_rewards"):
            own = {name: training[name] for name in ("micro_batch", "threads")} | {"dtype": computed_in(training)}
            rewards = self._reference_rewards(row, column, inputs, init, limits | own, pairs, seed)
            inputs["reference_rewards"] = rewards
        if rollout:
            training["rollout"] = rollout
            if rollout["responses"] == "policy":
                inputs["reward_model"] = self._rewarding_reward_model(column, inputs, init, pairs, seed)
        return self._training_run("run", method, column, seed, training, hparams, inputs, init, pairs=pairs, k=row.k)

    def _referred(
        self, method: Method, training: dict[str, Any], data: str, pairs: str | None, k: int | None, seed: int
    ) -> dict[str, dict[str, Any]]:
        """Role -> parts of the data whose reference log-probs a run reads, and which steps read them.

        `reference` has eval where accuracy is measured on it, and train unless a rollout makes its own. Where
        `max_steps` may end before all rows of a data set from the hub were read, `reference_train` has those of these
        steps.
        """
        if method.needs["shape"] == "rollout":
            return {"reference": {"parts": ["eval"]}}
        source, read = self.plan.nodes[data].spec["source"], dict[str, Any]()
        if pairs == UNPAIRED:
            return {"reference": {"parts": ["train"]}}
        is_large = "repo" in source and "train_rows" not in source
        if is_large and training["max_steps"] is not None and not (k and pairs):
            drawn = training.get("rows") or method.needs.get("rows", "pairs")
            settings = {name: training[name] for name in ("batch_size", "epochs", "max_steps")}
            read = {"read": {"rows": drawn, "pairs": pairs, "seed": seed, **settings}}
        parts = ["train"] if training.get("eval_every", 0) is None else ["train", "eval"]
        found = {"reference": {"parts": ["eval"] if read else parts}}
        if read:
            found["reference_train"] = {"parts": ["train"], **read}
        if method.needs.get("mismatched"):
            found["reference_mismatched"] = {"parts": ["mismatched"], **read}
        return found

    def _starts_from_sft(self, start: dict[str, str]) -> bool:
        return "init" in start and self.plan.nodes[start["init"]].kind == "sft"

    def _training(
        self, method: Method, column: Column, given: dict[str, Any], own: Mapping[str, Any]
    ) -> dict[str, Any]:
        """A run's training fields; the batch fits its contrasts."""
        on_this = self.scale["training_on"].get(column.dataset, {})
        usual, planning = self._training_settings(column.dataset, on_this, given), self.reading.section("planning")
        training = usual | dict(own)
        is_smaller = training["contrast_size"] < usual["batch_size"]
        if training["contrast_size"] != usual["contrast_size"] and is_smaller and "batch_size" not in own:
            contrasts, size = usual["batch_size"] // usual["contrast_size"], training["contrast_size"]
            is_moved = planning.get("contrast_batch") == "moved"
            training["batch_size"] = size * (contrasts if is_moved else -(-usual["batch_size"] // size))
        if method.needs.get("rows") == "balanced" and (balanced := planning.get("balanced")):
            training["batch_size"] //= balanced["batch_divisor"]
            training["contrast_size"] //= balanced["contrast_divisor"]
        if method.needs.get("rows") == "mixed":
            if planning.get("mixed_group") == "batch":
                training["contrast_size"] = training["batch_size"]
            if method.needs["shape"] == "unpaired" and "mixed_rows" in planning:
                training["rows"] = planning["mixed_rows"]
        return training

    def _embeddings(
        self, row: Row, embedder: str | None, column: Column, data: str, limits: dict[str, Any], text: str
    ) -> str:
        if embedder is None:
            raise UserError(f"{self.where}, row {row.key}: {row.method} needs an embedder, and none is named")
        name = self.stand_in("embedders", embedder)
        inputs, init = self._base(column, 1)
        spec = limits | {"embedder": read_named("embedders", name, self.where), "text": text, "tokenizer": init}
        roles = {"data": data, **({"tokenizer": inputs["init"]} if inputs else {})}
        of = {"model": column.model, "dataset": column.dataset}
        return self.plan.add("embeddings", f"{name}_{column.dataset}", spec, roles, **of)

    def _reference_rewards(
        self, row: Row, column: Column, inputs: dict[str, str], init: Hub, own: dict[str, Any], pairs: str | None,
        seed: int,
    ) -> str:  # fmt: skip
        """Raises UserError where it is not said how many responses are sampled."""
        given = self.paper["rollout"]["reference"] | self.scale["rollout"]["reference"]
        where = f"{self.where}, row {row.key}: {row.method} wants responses of the reference"
        if lacking := [name for name in Reference.__annotations__ if name not in given]:
            spec = f"paper_tables/{self.table.paper}/paper.yaml"
            raise UserError(f"{where}, and {', '.join(lacking)} is not set; set it in {spec}, rollout, reference")
        spec = own | given | {"init": init, "seed": seed}
        roles = {role: inputs[role] for role in ("data", "init") if role in inputs}
        roles["reward_model"] = self._rewarding_reward_model(column, inputs, init, pairs, seed)
        of = {"model": column.model, "dataset": column.dataset}
        return self.plan.add("reference_rewards", f"sft_{column.model}_{column.dataset}", spec, roles, **of)


def computed_in(training: dict[str, Any]) -> str:
    """The dtype of a run's log-probs; the reference's are made in the same, so that a run starts at a ratio of 1."""
    return training.get("compute_dtype") or training["dtype"]
