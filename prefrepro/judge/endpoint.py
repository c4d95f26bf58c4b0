"""Where a judge answers. Imports no HTTP library, so that a cached judging stays quick."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from prefrepro.errors import UserError
from prefrepro.judge.config import JudgeConfig


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A base URL and the key that it wants."""

    base_url: str
    api_key: str = field(repr=False)


class JudgeFailedError(Exception):
    """One request stayed without a usable answer; others may do better."""

    def __init__(self, cause: str, status: int | None = None) -> None:
        super().__init__(cause)
        self.status = status
        """The last HTTP status, where it was one that made the request fail."""


def api_endpoint(config: JudgeConfig) -> Endpoint:
    """The endpoint of a kind-api judge, its key read from the environment. Raises UserError."""
    base_url = config.base_url or ""
    if config.api_key_env is None:
        return Endpoint(base_url, "none")
    key = os.environ.get(config.api_key_env, "").strip()
    if not key:
        raise UserError(
            f'judge "{config.name}": the environment variable {config.api_key_env} is empty, expected the '
            f"API key of {base_url}. Next: export {config.api_key_env}=…"
        )
    return Endpoint(base_url, key)
