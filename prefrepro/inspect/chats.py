"""Before the first job: what a chat model's tokenizer or template refuses, as far as model and data are here already.

What is not here yet (a model that the hub serves, data that are not downloaded) is refused by the job that reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from prefrepro.data.hub import Checkpoint, Hub, local_files, stand_in
from prefrepro.errors import UserError
from prefrepro.inspect.dataset.opened import opened
from prefrepro.plan.nodes import Graph, Node

FIRST = 1000
"""Rows of a file that are looked at"""


def refuse_chats(plan: Graph, nodes: Iterable[Node]) -> None:
    """Raise UserError where the tokenizer of one of `nodes` is wrong, or its chat template refuses its data's system
    messages."""
    for node in nodes:
        hub = node.spec.get("init") or node.spec.get("model")
        if not isinstance(hub, Mapping) or hub.get("template") != "chat" or "data" not in node.inputs:
            continue
        folder = _here(hub)
        if folder is None:
            continue
        said = _refusal(str(folder), tuple(hub.get("tokens", {}).items()))
        place = _system_message(plan, plan.nodes[node.inputs["data"]]) if said else None
        if place:
            raise UserError(
                f"{place} begins with a system message, which the chat template of {hub['repo']} refuses ({said}). "
                f"{node.id} would stop there. Next: template: role_tags in the model's file in config/models, or leave "
                "such rows out of the data"
            )


def _here(hub: Mapping[str, Any]) -> Path | None:
    """The folder of a model, if it needs no download."""
    named = Path(stand_in(hub["repo"]) or hub["repo"])
    if named.is_dir():
        return named
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub["repo"], "tokenizer_config.json", revision=hub.get("revision"))
    return Path(found).parent if isinstance(found, str) else None


@cache
def _refusal(folder: str, tokens: tuple[tuple[str, Any], ...]) -> str | None:
    """What a chat template says against system messages. Raises UserError for a tokenizer that is wrong."""
    from prefrepro.model.tokenizer import refuses_system, tokenizer_of  # transformers

    hub: Hub = {"repo": folder, "tokens": dict(tokens)}
    return refuses_system(tokenizer_of(Checkpoint(Path(folder), "chat", None), hub))


def _system_message(plan: Graph, data: Node) -> str | None:
    """Where among a data node's rows, or the first of its source, the first system message stands."""
    folder, source = plan.results / data.folder, data.spec["source"]
    if (plan.results / data.done).is_file():
        for path in (folder / f"{name}.jsonl" for name in ("train", "eval", "prompts")):
            with path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, start=1):
                    if '"role": "system"' in line:
                        return f"{path}, line {number}"
        return None
    if source["kind"] != "rows" or not local_files(source):
        return None
    found = opened(str(local_files(source)[0]), source.get("form"), dict(source.get("columns", {})))
    return found.first_with(lambda row: row.prompt[0]["role"] == "system", FIRST)
