"""The model card of a run, README.md beside its weights: what it is, made of what, and which numbers it gave.

Written from run.json and the plan. Knows nothing of the hub.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from prefrepro.files import write_text
from prefrepro.plan.kinds import TRAININGS
from prefrepro.plan.nodes import Graph, Node
from prefrepro.specs.adapters import of_training
from prefrepro.specs.method import read_method
from prefrepro.specs.method_text import method_text
from prefrepro.specs.sources import read_named

CARD = "README.md"
OURS = "apache-2.0"
"""Of weights that were made here from nothing: the project's"""


def write_card(plan: Graph, node: Node) -> Path:
    """Write model/README.md of a finished run; its path."""
    folder = plan.results / node.folder
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    path = folder / "model" / CARD
    write_text(path, card(plan, node, run))
    return path


def card(plan: Graph, node: Node, run: dict[str, Any]) -> str:
    """The card's text. `run`: the content of run.json."""
    spec, row, name = node.spec, run["row"], node.id
    base, data = base_model(plan, node), _source(plan, node)
    is_method = node.kind != "base"
    parts = [
        f"---\n{yaml.safe_dump(_front_matter(node, base, data), sort_keys=False, allow_unicode=True)}---",
        f"# {name}",
        _summary(plan, node, base),
        *([_method(spec)] if is_method else []),
        _section("Training", _training(plan, node, run, base, data)),
        _section("Result", _result(plan, node, row)),
        _section("Use", _use(node, spec)),
        _section("Provenance", _provenance(row)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def base_model(plan: Graph, node: Node) -> dict[str, Any]:
    """What the chain of trainings starts from: its file in config/models, or of one made here its kind alone."""
    while "init" in node.inputs:
        node = plan.nodes[node.inputs["init"]]
    if node.kind == "base":
        return {"kind": "scratch", "name": node.model}
    name = plan.scale_facts["models"][node.spec["model"]]
    return {"name": name, **read_named("models", name, f"config/scales/{plan.results.name}.yaml")}


def _source(plan: Graph, node: Node) -> dict[str, Any]:
    return plan.nodes[node.inputs["data"]].spec["source"]


def _front_matter(node: Node, base: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """The fields that the hub reads."""
    is_score = node.kind == "reward_model"
    found: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "text-classification" if is_score else "text-generation",
        "license": base.get("licence", OURS if base["kind"] == "scratch" else "other"),
    }
    if "repo" in base:
        found["base_model"] = base["repo"]
    if "repo" in data:
        found["datasets"] = [data["repo"]]
    method = [node.spec["method"]] if "method" in node.spec else []
    return found | {"tags": ["prefrepro", "preference-optimization", *method]}


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""


def _summary(plan: Graph, node: Node, base: dict[str, Any]) -> str:
    spec = node.spec
    if node.kind == "base":
        said = f"A base model, `{base['name']}`, trained from nothing on the texts of `{spec['dataset']}`."
    else:
        said = (
            f"`{_base_name(base)}` as «{spec['model']}» of the papers, after `{spec['method']}` on "
            f"`{spec['dataset']}`, seed {spec['seed']}, scale `{spec['scale']}`."
        )
    if not plan.scale_facts["is_comparable"]:
        said += f"\n\n**{plan.scale_facts['description'].capitalize()}: nothing here compares with a printed number.**"
    return said


def _base_name(base: dict[str, Any]) -> str:
    return base.get("repo", base["name"])


def _method(spec: dict[str, Any]) -> str:
    header = read_method(spec["method"])
    text = method_text(header.path)
    lines = [text.about, f"Paper: {_link(header.paper)}.", f"```python\n{text.source}\n```"]
    rows = [
        f"| `{name}` | {value} | {text.hparams.get(name, '').replace('|', '∣')} |"
        for name, value in spec["hparams"].items()
    ]
    if rows:
        lines.append("\n".join(["| hyper-parameter | value | meaning |", "|---|---|---|", *rows]))
    return _section("Method", "\n\n".join(lines))


def _link(paper: str) -> str:
    return f"[{paper}](https://arxiv.org/abs/{paper.removeprefix('arXiv:')})" if paper.startswith("arXiv:") else paper


def _training(plan: Graph, node: Node, run: dict[str, Any], base: dict[str, Any], data: dict[str, Any]) -> str:
    spec, row = node.spec, run["row"]
    from_hub = data.get("repo") or data.get("files") or f"generated, {data['kind']}"
    lines = [
        f"- Data: `{spec['dataset']}`, part `{spec['part']}` ({from_hub}); SHA-256 `{row['data_hash']}`",
        f"- {row['steps']} steps, {row['pairs']} examples, {row['tokens']} tokens",
        f"- Cut to the limits: {_plain(run['truncation'])}",
    ]
    if node.kind != "base":
        start = node.inputs.get("init", _base_name(base))
        commit = run.get("init_commit") or base.get("revision")
        lines.insert(
            0, f"- Starts from: `{start}`{f', commit `{commit}`' if commit and 'init' not in node.inputs else ''}"
        )
        lines.insert(1, f"- Licence of the base model: {base.get('licence') or _unknown_licence(base)}")
    if adapters := of_training(spec["training"]):
        trained, every = (run["adapters"][key] for key in ("trained_parameters", "parameters"))
        lines.append(f"- Trained as {adapters}, merged into these weights: {trained:,} of {every:,} parameters")
    settings = {key: value for key, value in spec["training"].items() if value is not None}
    table = ["| setting | value |", "|---|---|", *(f"| `{key}` | {value} |" for key, value in settings.items())]
    return "\n".join(lines) + "\n\n" + "\n".join(table)


def _unknown_licence(base: dict[str, Any]) -> str:
    if base["kind"] == "scratch":
        return f"none but ours: made here from nothing ({OURS})"
    return f"not recorded in config/models/{base['name']}.yaml; see the base model's own page"


def _plain(values: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items())


def cells_of(plan: Graph, run_id: str) -> list[str]:
    """The cells of the plan's tables that this training feeds: «rpo/table1, row dpo, column win-rate»."""
    return [
        f"{cell['paper']}/{cell['table']}, row {cell['row']}, column {cell['column']}"
        for table in plan.of_kind("table")
        for cell in table.spec["cells"]
        if run_id in cell["run_ids"]
    ]


def _result(plan: Graph, node: Node, row: dict[str, Any]) -> str:
    lines = [f"- Final loss: {row['final_loss']:.4f}"]
    if row["reward_accuracy"] is not None:
        lines.append(f"- Held-out pairs whose chosen response has the higher reward: {row['reward_accuracy']:.1%}")
    cells = cells_of(plan, node.id)
    starts = [other.id for other in plan.nodes.values() if node.id in other.inputs.values() and other.kind in TRAININGS]
    lines += [f"- Feeds {cell}" for cell in cells]
    if starts:
        shown = ", ".join(f"`{one}`" for one in starts[:8])
        lines.append(f"- Where these start from, or what rewards them: {shown}{' …' if len(starts) > 8 else ''}")
    return "\n".join(lines)


def _use(node: Node, spec: dict[str, Any]) -> str:
    if node.kind == "reward_model":
        family, then = "AutoModelForSequenceClassification", "reward = model(input_ids).logits[0, 0]"
    else:
        limit = spec["training"]["max_length"]
        family = "AutoModelForCausalLM"
        then = f"answer = model.generate(input_ids, max_length={limit}, do_sample=False)"
    return f"""```python
from transformers import {family}, AutoTokenizer

model, tokenizer = {family}.from_pretrained(FOLDER_OR_REPO), AutoTokenizer.from_pretrained(FOLDER_OR_REPO)
messages = [{{"role": "user", "content": "How do I repot a fern?"}}]
input_ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")["input_ids"]
{then}
```

Where the folder holds no chat template, prompts are plain role tags (`prefrepro/data/template.py`); \
`prefrepro push` adds them as one."""


def _provenance(row: dict[str, Any]) -> str:
    state = {True: ", with uncommitted changes", False: ", clean", None: ""}[row["dirty"]]
    commit = f"`{row['commit']}`{state}" if row["commit"] else "not known (no git checkout)"
    versions = ", ".join(f"{name} {version}" for name, version in json.loads(row["versions"]).items())
    return "\n".join(
        [
            f"- prefrepro at commit {commit}; code digest `{row['code_digest']}`",
            f"- {versions}",
            f"- {row['wall_s']:.0f} s wall, {row['gpu_h']} GPU-hours, {row['peak_mem_gb']} GiB at most",
        ]
    )
