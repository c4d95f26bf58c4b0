"""Where a judge answers. Imports no HTTP library, so that a cached judging stays quick."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from prefrepro.errors import UserError
from prefrepro.specs.judge import JudgeConfig


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A base URL and the key that it wants."""

    base_url: str
    api_key: str = field(repr=False)


def api_endpoint(config: JudgeConfig) -> Endpoint:
    """The endpoint of a kind-api judge, its key read from the environment or a private file. Raises UserError."""
    base_url = config.base_url or ""
    if config.api_key_file is not None:
        return Endpoint(base_url, _key_in_file(config, Path(config.api_key_file).expanduser()))
    if config.api_key_env is None:
        return Endpoint(base_url, "none")
    key = os.environ.get(config.api_key_env, "").strip()
    if not key:
        raise UserError(
            f'judge "{config.name}": the environment variable {config.api_key_env} is empty, expected the '
            f"API key of {base_url}. Next: export {config.api_key_env}=…"
        )
    return Endpoint(base_url, _sendable(config, key, config.api_key_env))


def _key_in_file(config: JudgeConfig, path: Path) -> str:
    """The key in a file of our own that nobody else may read or write."""
    try:
        with path.open(encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077 or found.st_uid != os.geteuid():
                raise UserError(
                    f'judge "{config.name}": {path} has mode {stat.S_IMODE(found.st_mode):04o}, expected a file of '
                    f"yours that only you can read. Next: chmod 600 {path}"
                )
            key = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'judge "{config.name}": no key could be read: {error}') from None
    if not key:
        raise UserError(f'judge "{config.name}": {path} is empty, expected the API key of {config.base_url}')
    return _sendable(config, key, str(path))


def _sendable(config: JudgeConfig, key: str, where: str) -> str:
    """`key`, which an HTTP header must hold; the message does not show it."""
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f'judge "{config.name}": {where} holds blanks or other characters that no key has')
    return key
