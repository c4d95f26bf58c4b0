"""What a reader wants to know of one job, by its kind: a few plain values from its spec and its manifest."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

Facts = dict[str, Any]
TRAINING = """
row.method row.model row.dataset init=of_init.repo init_revision=of_init.revision init_commit=of_init.commit
spec.hparams spec.training.optimizer spec.training.lr spec.training.batch_size spec.training.contrast_size
spec.training.dtype row.steps row.pairs row.tokens row.final_loss row.reward_accuracy data_part=spec.part
data_sha256=row.data_hash train_s row.gpu_h row.peak_mem_gb
"""
REFERENCE = """
model=of_init.repo model_revision=of_init.revision model_commit=of_init.commit spec.dtype spec.max_length
spec.max_prompt_length spec.truncation_mode truncation spec.samples prompts
"""
FACTS = {
    "verdict": """
judge=spec.judge.name judge_asked judge_served judge_note=spec.judge.note spec.evaluation spec.protocol spec.annotator
asked_of.prompt_sha256 n verdicts replies_asked=asked replies_cached=cached replies_reasked=reasked
asked_of.first_reply asked_of.last_reply cost_usd
""",
    "preference": """
spec.part ranked_by=spec.by spec.output spec.dtype model=of_model.repo model_revision=of_model.revision
model_commit=of_model.commit pairs prompts label_ties won_pct truncation
""",
    "sample": """
engine engine_version model=of_model.repo model_revision=of_model.revision model_commit=of_model.commit n
spec.sampling.temperature spec.sampling.top_p spec.sampling.max_new_tokens spec.sampling.generations
spec.sampling.dtype mean_tokens finish
""",
    "import": "engine spec.source spec.source_sha256 columns=spec.map n",
    **dict.fromkeys(("run", "sft", "base", "reward_model"), TRAINING),
    **dict.fromkeys(("reference", "reference_rewards"), REFERENCE),
    "embeddings": """
embedder=spec.embedder.repo embedder=spec.embedder.kind embedder_package=spec.embedder.package
embedder_revision=embedder_commit embedder_revision=spec.embedder.revision spec.text texts
texts_cut_by_embedder dim
""",
    "package": """
package=origin.package version=origin.version file=origin.file sha256=origin.sha256 copy_of=origin.repo
tensors=origin.tensors spec.template
""",
    "data": """
spec.source.kind spec.source.task spec.source.repo spec.source.revision spec.source.files_sha256 spec.source.seed
spec.source.reading from rows counts sha256
""",
}
"""Kind -> places in the manifest, in the order in which a reader wants them. The label is the place's last part, or
what stands before «=»; of two places for a label the first that holds anything counts."""


def facts_of(kind: str, spec: dict[str, Any], manifest: dict[str, Any], folder: Path) -> Facts:
    """Label -> value; what is not known, as from a manifest of an older version, is left out."""
    known = manifest | {
        "spec": spec,
        "of_model": _hub(spec.get("model"), manifest.get("model_commit")),
        "of_init": _hub(spec.get("init"), manifest.get("init_commit")),
        "asked_of": _asked(folder / "verdicts.csv"),
    }
    facts: Facts = {}
    for entry in FACTS.get(kind, "").split():
        label, _, place = entry.rpartition("=")
        value = value_at(known, place)
        if value not in (None, "", {}, []):
            facts.setdefault(label or place.rpartition(".")[2], value)
    return facts


def value_at(content: Any, place: str) -> Any:
    """The value at a dotted place of nested mappings; None where there is none."""
    for part in place.split("."):
        if not isinstance(content, dict) or part not in content:
            return None
        content = content[part]
    return content


def _asked(verdicts: Path) -> Facts:
    """Judge prompt files (hashes), first and last reply: a cached reply is older than the job."""
    if not verdicts.is_file():
        return {}
    with verdicts.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = [(row.get("prompt_sha256") or "", row.get("created") or "") for row in csv.DictReader(file)]
    created = sorted(time for _, time in rows if time) or [""]
    prompts = sorted({prompt for prompt, _ in rows if prompt})
    return {"prompt_sha256": prompts, "first_reply": created[0], "last_reply": created[-1]}


def _hub(hub: Any, commit: Any) -> Facts:
    """A model of the hub: its id, and the revisions that were asked for and read."""
    if not hub:
        return {}
    asked = {"repo": hub} if isinstance(hub, str) else hub
    return {
        "repo": asked.get("repo"),
        "revision": asked.get("revision"),
        "commit": commit if isinstance(commit, str) or commit is None else json.dumps(commit),
    }
