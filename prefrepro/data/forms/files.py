"""The files and records of a data set whose form is recognised: which files a split has, and their numbered records.

Hugging Face's `datasets` says which files of a folder belong to which configuration and split, as its card or its names
have it, and reads what prefrepro/data/local.py does not: Arrow, JSON packed by zstd, xz, bzip2 or zip, a list in gzip.
JSON, JSON Lines, CSV and Parquet stay with local.py, because `datasets` reads them in blocks: it knows no line number,
takes the last of two equal keys, and cannot tell a column that is null from one that is absent.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefrepro.data.local import Paths, Records, data_files, read_records
from prefrepro.data.rows import Counts, OnBadRow, Parse, checked_rows
from prefrepro.errors import UserError

OURS = (".jsonl", ".jsonl.gz", ".ndjson", ".json", ".parquet", ".csv", ".csv.gz")


def files_of(paths: Paths, split: str | None, config: str | None = None) -> list[Path]:
    """The files of a split: of a folder those that `datasets` finds, otherwise those named. `None` takes every split.

    Raises UserError where there is none.
    """
    if not isinstance(paths, str | Path) or not Path(paths).is_dir():
        return data_files(paths, split)
    found = _splits(Path(paths), config)
    if split is not None and split not in found:
        raise UserError(f'{paths}: no split "{split}"; found {", ".join(found)}. Name one of them in `splits`.')
    names = itertools.chain.from_iterable(found.values() if split is None else [found[split]])
    return [Path(name) for name in dict.fromkeys(names)]


def _splits(folder: Path, config: str | None) -> dict[str, list[str]]:
    """Split -> files of a folder."""
    import datasets
    from datasets.exceptions import DatasetsError

    if (folder / "dataset_info.json").is_file():  # written by `save_to_disk`
        return {"train": [str(file) for file in sorted(folder.glob("*.arrow"))]}
    try:
        found: Any = datasets.load_dataset_builder(str(folder.resolve()), name=config).config.data_files
    except (OSError, ValueError, DatasetsError) as error:
        raise UserError(
            f"{folder}: `datasets` finds no data set in it ({_reason(error)}). Expected files named for their "
            "split, such as train.jsonl, or config: NAME of one of its configurations; or name files themselves."
        ) from error
    return {str(split): [str(file) for file in files] for split, files in found.items()}


def records_of(path: Path, on_bad_row: OnBadRow = "stop", counts: Counts | None = None) -> Records:
    """Stream (number from 1, record) of a file. Raises UserError for one that cannot be read whole."""
    return read_records(path, on_bad_row, counts) if path.name.endswith(OURS) else _streamed(path)


def first_records(path: Path, most: int) -> list[dict[str, Any]]:
    """The first records of a file; a bad line among them is passed over, since reading tells of it."""
    return [record for _, record in itertools.islice(records_of(path, "skip"), most)]


def _streamed(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import datasets
    import pyarrow
    from datasets.exceptions import DatasetsError

    number = 0
    try:
        if path.suffix == ".arrow":
            stream: Any = datasets.Dataset.from_file(str(path))
        else:
            stream = datasets.load_dataset(
                str(path.parent.resolve()), data_files=path.name, split="train", streaming=True
            )
        for number, record in enumerate(stream, start=1):
            yield number, dict(record)
    except (OSError, EOFError, ValueError, DatasetsError, pyarrow.ArrowException) as error:
        raise UserError(
            f"{path}: `datasets` cannot read it after record {number} ({_reason(error)}). Expected JSON, JSON "
            "Lines, CSV, Parquet or Arrow, packed or not."
        ) from error


def _reason(error: Exception) -> str:
    return " ".join((str(error).strip() or type(error).__name__).splitlines()[:2])[:300]


def load(
    paths: Paths,
    parse: Parse[Any],
    *,
    split: str | None = None,
    config: str | None = None,
    on_bad_row: OnBadRow = "stop",
    counts: Counts,
) -> Iterator[Any]:
    """The canonical rows of files of one form; every record is a row, a bad row or left out, each counted.

    `parse`: of parse.py, with its form. Raises UserError at the first bad row, or, where they are skipped, if no row is
    left.
    """
    files, before = files_of(paths, split, config), counts["rows"]
    for file in files:
        yield from checked_rows(records_of(file, on_bad_row, counts), str(file), parse, on_bad_row, counts)
    if counts["rows"] == before:
        causes = [f"{cause} {at[0]}" for cause, at in counts.first_locations.items() if cause != "left_out"]
        first = f"The first: {'; '.join(causes)}." if causes else "Expected at least one."
        raise UserError(
            f"{files[0]}: no usable row ({counts['bad_rows']} bad, {counts['left_out']} left out). {first} "
            f"Next: prefrepro data inspect {files[0]}"
        )
