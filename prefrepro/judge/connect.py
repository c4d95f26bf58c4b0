"""A client for a judge's config, its local server started when the first reply is missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from prefrepro.errors import UserError
from prefrepro.judge.client import JudgeClient
from prefrepro.judge.endpoint import Endpoint, api_endpoint
from prefrepro.judge.local import local_judge
from prefrepro.specs.judge import JudgeConfig


@contextlib.contextmanager
def judge_client(
    config: JudgeConfig, cache: Path, *, identity: str = "", scorer: str | None = None
) -> Iterator[JudgeClient]:
    """Yield a client; its server, if it has one, ends with it.

    An API judge is named by its base URL in the cache, a local one (its port changes) by `identity`. `scorer`
    replaces that of a local judge's config: a reward model's wants its folder. Raises UserError.
    """
    scorer = scorer or config.scorer
    if scorer == "reward-model":
        raise UserError(f'judge "{config.name}": scorer reward-model wants the folder of a trained reward model.')
    is_api = config.kind == "api"
    with contextlib.ExitStack() as stack:

        def connect() -> Endpoint:
            return api_endpoint(config) if is_api else stack.enter_context(local_judge(str(scorer)))

        identity = (config.base_url or "").rstrip("/") if is_api else identity or f"local:{scorer}"
        yield stack.enter_context(JudgeClient(config, cache, identity, connect))
