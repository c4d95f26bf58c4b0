"""Where data sets and checkpoints are: in local files that stand in for a hub id, or in the hub's cache.

Every hub id is downloaded whole, at one commit, into the cache of huggingface_hub and read from there, so that local
files and the hub take the same road. config/local.yaml, which git ignores, says which local files stand in for which
id on this machine:

    hub_files:
      Anthropic/hh-rlhf: path/to/hh-rlhf            # a file, a folder or a glob
      mistralai/Mistral-7B-v0.1: path/to/checkpoint # a folder
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from prefrepro.data.jsonl import open_plain
from prefrepro.data.local import Paths, data_files
from prefrepro.errors import UserError
from prefrepro.files import ROOT

LOCAL = ROOT / "config" / "local.yaml"
COMMIT = re.compile(r"[0-9a-f]{40}")
CHECKPOINT = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "2_Dense/*")
"""Files of a checkpoint: weights that are no pickles, configs, tokenizers; sentence-t5 has a dense layer of its own."""
NOT_CHECKPOINT = ("consolidated*", "original/*", "onnx/*", "openvino/*")
RepoType = Literal["dataset", "model", "space"]


class Resolved(NamedTuple):
    """Where to read, and what the manifest says of it."""

    paths: Paths
    record: dict[str, Any]
    """{files} or {repo, revision, commit}: `commit` is what `revision` was when it was downloaded"""


def stand_in(repo: str | None) -> str | None:
    """The local files that stand in for a hub id here, or None. Planning has checked the file."""
    if repo is None or not LOCAL.is_file():
        return None
    return yaml.safe_load(LOCAL.read_text(encoding="utf-8"))["hub_files"].get(repo)


def local_files(source: Mapping[str, Any]) -> list[Path]:
    """The local files that a data set's source reads, so that the plan can hash them; none where the hub serves it."""
    given = source.get("files") or stand_in(source.get("repo"))
    if not given:
        return []
    return data_files(list(given.values()) if isinstance(given, Mapping) else given)


def downloaded(wanted: Mapping[str, Mapping[str, str]], folder: Path) -> list[str]:
    """The files of a data set's `download` below `folder`, as they were named there or unzipped, each checked.

    Raises one UserError with the commands that fetch what is missing, or for a file of other content.
    """
    found, missing = [], []
    for name, source in wanted.items():
        places = (folder / name, folder / name.removesuffix(".gz"))
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            place = places[0] if source["url"].endswith(".gz") else places[1]
            missing.append(f"curl -L --create-dirs -o {place} {source['url']}")
        elif (digest := content_sha256(path, path.stat().st_mtime_ns)) != source["sha256"]:
            raise UserError(
                f"{path}: its content has sha256 {digest}; expected {source['sha256']}. Remove it and fetch it again: "
                f"curl -L -o {path} {source['url']}"
            )
        else:
            found.append(str(path))
    if missing:
        raise UserError(
            f"{len(missing)} of {len(wanted)} data files are not in {folder}. Fetch them: {' && '.join(missing)} "
            "or say in which folder they lie: --config data=FOLDER"
        )
    return found


@cache
def content_sha256(path: Path, _changed_ns: int) -> str:
    """SHA-256 of a file as it was last changed, unzipped if it is gzipped."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resolve(
    repo: str | None,
    revision: str | None = None,
    files: Paths | None = None,
    *,
    patterns: Sequence[str] | None = None,
    repo_type: RepoType = "dataset",
) -> Resolved:
    """The files of a data set: `files`, else what stands in for `repo`, else the hub's at `revision`.

    `patterns` (as in fnmatch) say which of the hub's files are wanted. Raises UserError where nothing can be had.
    """
    given = files or stand_in(repo)
    if given:
        shown = [str(path) for path in ([given] if isinstance(given, str | Path) else given)]
        return Resolved(given, {"files": shown, **({"stands_in_for": repo} if repo else {})})
    if repo is None:
        raise UserError("Neither files nor a repo is given. Expected one of them in the data set's file.")
    folder = _snapshot(repo, revision, repo_type, tuple(patterns or ()), ())
    return Resolved(folder, {"repo": repo, "revision": revision, "commit": commit_of(folder)})


def named_files(source: Mapping[str, Any], names: Mapping[str, str]) -> tuple[dict[str, Path], dict[str, Any]]:
    """({name: file}, what the manifest says) of a set that consists of few files with a part each.

    `names` are the files' places in the repository. `source` has `files` {name: path}, a folder that is laid out like
    the repository or holds the files side by side, or `repo`. Raises UserError for an unknown name and a missing file.
    """
    given = source.get("files")
    if isinstance(given, Mapping):
        if not given or set(given) - set(names):
            raise UserError(
                f"files name {', '.join(given) or 'nothing'}; expected {{name: path}} of {', '.join(names)}."
            )
        found, record = {name: Path(path) for name, path in given.items()}, {"files": dict(given)}
    else:
        repo_type = source.get("repo_type", "dataset")
        resolved = resolve(
            source.get("repo"), source.get("revision"), given, patterns=list(names.values()), repo_type=repo_type
        )
        folder, record = resolved.paths, resolved.record
        if not isinstance(folder, str | Path) or not Path(folder).is_dir():
            wanted = ", ".join(f"{name}: PATH" for name in names)
            raise UserError(f"{folder}: expected a folder with {', '.join(names.values())}, or files: {{{wanted}}}.")
        places = {name: (Path(folder) / place, Path(folder) / Path(place).name) for name, place in names.items()}
        found = {name: beside if beside.is_file() else place for name, (place, beside) in places.items()}
    for name, path in found.items():
        if not path.is_file():
            raise UserError(f"{path} is missing. Expected the file of {name}; name it in the data set's files.")
    return found, record


def checkpoint(repo: str, revision: str | None = None) -> Path:
    """The folder of a model, tokenizer or embedder: itself a folder, what stands in for `repo`, or the hub's.

    Raises UserError where it cannot be had, or holds no weights that are safe to read.
    """
    folder = Path(stand_in(repo) or repo)
    if not folder.is_dir():
        if stand_in(repo):
            raise UserError(f"{LOCAL} names {folder} for {repo}, which is no folder. Expected a checkpoint's folder.")
        folder = _snapshot(repo, revision, "model", CHECKPOINT, NOT_CHECKPOINT)
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"{folder}: no *.safetensors in it ({repo}). Expected such weights; pickles are not read.")
    return folder


def commit_of(folder: Path) -> str | None:
    """The commit of a folder in the hub's cache, whose name it is; None for other folders."""
    return folder.name if COMMIT.fullmatch(folder.name) else None


Hub = str | Mapping[str, Any]
"""A folder or hub id, or {repo, revision, template} of a config/models file; empty where a node makes the model."""


class Checkpoint(NamedTuple):
    """A model's folder, and how its tokenizer renders prompts."""

    folder: Path
    template: str | None
    """role_tags | chat; None: as the tokenizer was saved, which says so by itself in a run's model."""
    commit: str | None
    """The hub's; None for runs and local folders."""


def checkpoint_of(inputs: Mapping[str, Path], role: str, hub: Hub) -> Checkpoint:
    """The model of the run that plays `role`, or else what stands in for the hub's, or the hub's."""
    if role in inputs:
        return Checkpoint(inputs[role] / "model", None, None)
    given = {"repo": hub} if isinstance(hub, str) else hub
    folder = checkpoint(given["repo"], given.get("revision"))
    return Checkpoint(folder, given.get("template", "role_tags"), commit_of(folder))


def embedder_folder(embedder: Mapping[str, Any]) -> tuple[Path | None, str | None]:
    """(folder, commit) of an embedder of config/embedders; None where a package has its weights, or it has none."""
    if "repo" not in embedder or embedder.get("package"):
        return None, None
    folder = checkpoint(embedder["repo"], embedder.get("revision"))
    return folder, commit_of(folder)


@cache
def _snapshot(
    repo: str, revision: str | None, repo_type: RepoType, wanted: tuple[str, ...], unwanted: tuple[str, ...]
) -> Path:
    """The folder in the hub's cache; a process asks the hub once."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        folder = huggingface_hub.snapshot_download(
            repo,
            repo_type=repo_type,
            revision=revision,
            allow_patterns=list(wanted) or None,
            ignore_patterns=list(unwanted) or None,
        )
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        key = "files" if repo_type != "model" else "repo"
        raise UserError(
            f"{repo} at revision {revision or 'main'} cannot be had from the hub: {reason}. Check network, revision "
            f"and access (HF_TOKEN for gated ids), or name local files: {key} in its config file, or in {LOCAL} "
            f"hub_files: {{{repo}: PATH}}."
        ) from error
    return Path(folder)
