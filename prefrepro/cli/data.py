"""prefrepro data inspect: what a file, folder or hub id of preferences holds, and the YAML that makes it usable."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from prefrepro.cli.parser import parse_config, write_json
from prefrepro.data.truncate import limits_of
from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, show
from prefrepro.specs.files import names_in
from prefrepro.specs.paper import read_paper
from prefrepro.specs.scale import config_and_scale
from prefrepro.specs.sources import read_named
from prefrepro.specs.table import target_of


def inspect(arguments: argparse.Namespace) -> None:
    """Print the findings, and with --write write the files. Raises UserError."""
    from prefrepro.inspect.dataset.opened import opened
    from prefrepro.inspect.dataset.report import as_text, inspected
    from prefrepro.inspect.dataset.written import written

    config, scale = config_and_scale(parse_config(arguments.config))
    paper = read_paper(ROOT / "paper_tables" / (scale.get("papers") or ["rpo"])[0] / "paper.yaml")
    limits = limits_of(paper["training"] | scale["training"])
    columns = parse_config(arguments.columns.split(",")) if arguments.columns else {}
    data = opened(arguments.data, arguments.form, columns, arguments.revision)
    tokenizer = _tokenizer(arguments.tokenizer) if arguments.tokenizer else None
    found = inspected(data, tokenizer, limits, arguments.tokenizer)
    paths = written(data, found, arguments.write, config.scale, scale) if arguments.write else []
    if arguments.json:
        write_json(found | {"written": [show(path) for path in paths]})
        return
    sys.stdout.write(as_text(found, shutil.get_terminal_size((100, 24)).columns))
    if paths:
        chosen = [*config.arguments(), *(["judge=NAME"] if found["shape"] == "unpaired" else [])]
        also = f" --config {' '.join(chosen)}" if chosen else ""
        sys.stdout.write(f"\nWritten: {', '.join(map(show, paths))}\nNext: snakemake {target_of(paths[-1])}{also}\n")
    elif found["rows"]:
        sys.stdout.write(f"\nNext: prefrepro data inspect {arguments.data} --write NAME\n")
    else:
        sys.stdout.write("\nNo row can be used: mend what is odd, or name another --form\n")


def _tokenizer(name: str) -> Any:
    """The tokenizer of a folder, a model of config/models or a hub id. Raises UserError where it has none."""
    from prefrepro.data.hub import Checkpoint, checkpoint_of  # torch
    from prefrepro.data.package import package_file
    from prefrepro.model.load import load_tokenizer
    from prefrepro.model.tokenizer import tokenizer_of

    if Path(name).is_dir():
        return tokenizer_of(Checkpoint(Path(name), None, None))
    if name not in names_in("models"):
        if "/" not in name:
            known = names_in("models")
            raise UserError(
                f'--tokenizer is "{name}"; expected a folder, a hub id or one of config/models: {", ".join(known)}.'
                f"{nearest(name, known)}"
            )
        return tokenizer_of(checkpoint_of({}, "", {"repo": name, "template": None}))
    model = read_named("models", name, "--tokenizer")
    if model["kind"] == "hub":
        return tokenizer_of(checkpoint_of({}, "", model), model)
    if model["kind"] == "package":
        file = package_file(model)
        how = {"gguf_file": file.name} if file.suffix == ".gguf" else {}
        return load_tokenizer(file.parent, model["template"], **how, **model.get("tokens", {}))
    raise UserError(
        f"--tokenizer is {name}, whose tokenizer is made of a data set's own texts when it is trained; expected one "
        "that is there: a folder, a hub id or a model of kind hub or package"
    )
