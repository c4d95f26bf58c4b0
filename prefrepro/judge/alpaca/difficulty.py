"""The published difficulty of the 805 AlpacaEval instructions, which length control looks up by their position.

The file df_gamed.csv holds it, with the verdicts on two gamed baselines that steady the fit. There is none for
other instructions: there length control does without (length_control.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from prefrepro.errors import UserError
from prefrepro.files import sha256_file

REPOSITORY = "tatsu-lab/alpaca_eval"
REVISION = "2edc6fad8be6b14ea7230aabfd08188da6b8b814"
SHA256 = "97aeec3f1c7de6dee6fd31fe66f1702623f4614c3efe1c6fc5f4927cd5fd674d"
N = 805
IN_ORDER = "19335c314b25f2550db9138cbbc7c1219ac28967bd6062cd323182405afbd7f1"
"""SHA-256 of the 805 instructions in the order of the published reference outputs, each ended by a NUL."""
IN_ANY_ORDER = "5958a7a353ab21f92ebda31cfd3e057a62a05c7a6e0465f9674eebf375a6e4ff"
"""The same of the sorted instructions."""
COLUMNS = ("index", "preference", "std_delta_len", "instruction_difficulty", "not_gamed_baseline")


def load_gamed(path: Path | None) -> pd.DataFrame:
    """df_gamed.csv from `path`, or from the hub (a pinned revision, or the local hub cache). Raises UserError."""
    source = path or _from_hub()
    try:
        gamed = pd.read_csv(source)
        missing = [column for column in COLUMNS if column not in gamed]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        difficulty = gamed.drop_duplicates("index")
        if sorted(difficulty["index"]) != list(range(N)) or gamed[list(COLUMNS)].isna().to_numpy().any():
            raise ValueError(f"expected a row for each instruction 0 … {N - 1}, none of them with gaps")
        return gamed.loc[:, list(COLUMNS)].astype(
            {"index": int, "instruction_difficulty": float, "std_delta_len": float, "not_gamed_baseline": bool}
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"{source}: found no difficulty of the AlpacaEval instructions: {error}. Expected df_gamed.csv of "
            f"{REPOSITORY}. Next: set `gamed` to that file."
        ) from error


def check_canonical(instructions: Sequence[str]) -> None:
    """Raise UserError unless these are the 805 published instructions in their order.

    The difficulty goes by position (docs/judging.md#length-control): shuffled rows turn claude-2.1's 25.25 into 31.29.
    """
    if digest(instructions) == IN_ORDER:
        return
    if digest(sorted(instructions)) == IN_ANY_ORDER:
        found = "these instructions in another order"
        step = "keep the order of the published reference outputs"
    else:
        found = f"{len(instructions)} instructions that are not these"
        step = "judge all 805, or set `difficulty: none` (length alone, for any instructions)"
    raise UserError(
        f"length-controlled win rate: found {found}, expected the {N} published ones in their order, because their "
        f"difficulty is looked up by position. Next: {step}."
    )


def digest(instructions: Sequence[str]) -> str:
    """Hex SHA-256 of the instructions, each ended by a NUL."""
    return hashlib.sha256("".join(text + "\0" for text in instructions).encode()).hexdigest()


def _from_hub() -> Path:
    from huggingface_hub import hf_hub_download

    try:
        path = Path(hf_hub_download(REPOSITORY, "df_gamed.csv", repo_type="dataset", revision=REVISION))
    except Exception as error:
        raise UserError(
            f"df_gamed.csv of {REPOSITORY} at {REVISION[:8]} is neither in the hub cache nor to be had: "
            f"{type(error).__name__}. Length control wants it before anything is judged. Next: set `gamed` to a "
            "local copy, or allow access to the hub."
        ) from error
    if sha256_file(path) != SHA256:
        raise UserError(f"{path}: SHA-256 differs from {SHA256[:16]}…, the published file. Next: delete it.")
    return path
