"""The source of a data node: a file of config/datasets with what its local files say, and the code that reads it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from prefrepro.data.forms.settle import listed, with_form
from prefrepro.data.hub import downloaded, local_files
from prefrepro.errors import UserError
from prefrepro.files import sha256_file, show
from prefrepro.plan.plan import Plan
from prefrepro.specs.method import Method, method_names, read_method
from prefrepro.specs.sources import shape_of
from prefrepro.specs.table import Row

UNPAIRED = "unpaired"


def source_of(spec: dict[str, Any], file: str, folder: Path) -> dict[str, Any]:
    """`spec` of config/datasets/<file>.yaml with its downloaded files from `folder`, the form of its rows where nobody
    says it, and the SHA-256 of local files. Raises UserError."""
    if "download" in spec and not spec.get("files"):
        spec = spec | {"files": downloaded(spec["download"], folder)}
    if spec["kind"] == "rows":
        spec = with_form(spec, f"config/datasets/{file}.yaml")
    files = listed(spec) if spec["kind"] == "rows" else local_files(spec)
    return spec | ({"files_sha256": {show(path): content_hash(path) for path in files}} if files else {})


def kept(shares: dict[str, float], used: set[str]) -> dict[str, float]:
    """A data set's shares where only `train` and `used` are wanted: train takes those of the other parts, now 0."""
    unused = {part: shares[part] for part in shares if part not in {"train", *used}}
    train = round(shares.get("train", 0.0) + sum(unused.values()), 12)
    return shares | dict.fromkeys(unused, 0.0) | {"train": train}


def content_hash(path: Path) -> str:
    """SHA-256 of a local file as it was last changed: other content is another dataset."""
    return _sha256(path, path.stat().st_mtime_ns)


@cache
def _sha256(path: Path, changed_ns: int) -> str:
    return sha256_file(path)


def takes_unpaired(method: Method) -> bool:
    """Whether a method learns from single completions with a label. Embeddings are made of pairs."""
    needs = method.needs
    apart = needs.get("rows") in ("mixed", "balanced", "demonstrations")
    return needs["shape"] == "unpaired" and apart and not needs.get("embeddings")


def refuse_unpaired(source: dict[str, Any], method: Method, where: str, row: Row | None = None) -> None:
    """Raise UserError where the rows are single completions with a label, and the method needs more."""
    if shape_of(source) != UNPAIRED:
        return
    if not takes_unpaired(method):
        able = ", ".join(name for name in method_names() if takes_unpaired(read_method(name)))
        raise UserError(
            f"{where}: {method.name} wants pairs or groups of answers to one prompt, but the data set holds single "
            f"completions with a label (form: {source['form']}). These methods learn from such: {able}. Name one of "
            "them, or a data set of pairs"
        )
    for name in ("pairs", "k"):
        if row and getattr(row, name):
            raise UserError(f'{where}: "{name}" is set, but the data set holds single completions with a label')


def refuse_pairless(source: dict[str, Any], what: str) -> None:
    """Raise UserError where held-out pairs are to be ranked, and there are none."""
    if shape_of(source) == UNPAIRED:
        raise UserError(
            f"{what} counts held-out pairs, but the data set holds single completions with a label "
            f"(form: {source['form']}). Next: a win rate, or a data set of pairs"
        )


def answers_of_others(plan: Plan, data: str) -> str:
    """The data node of the same prompts, each with a completion of another: what KTO estimates its KL on."""
    node = plan.nodes[data]
    source = node.spec["source"] | {"completions": "of_another_prompt"}
    return plan.add("data", node.name, {"source": source}, {}, dataset=node.dataset)
