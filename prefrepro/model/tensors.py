"""Named tensors in a safetensors file, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from prefrepro.errors import UserError
from prefrepro.files import replacing


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write in one step. Raises UserError where the disk does not take them."""
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary)
    except SafetensorError as error:
        raise UserError(f"{path}: could not be written: {error}. Next: free the disk and run again.") from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of the file. Raises UserError where it is cut or no safetensors file."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: cannot be read as safetensors ({error}). It is cut or changed: delete its folder "
            f"{path.parent} and run again."
        ) from error
