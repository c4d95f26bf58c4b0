"""A run's folder to a repository of the Hugging Face hub, in one commit.

huggingface_hub finds the token itself (`hf auth login`, or HF_TOKEN).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from prefrepro.data.template import TAGS
from prefrepro.errors import UserError

TEMPLATE = "chat_template.jinja"
Files = dict[str, Path | bytes]
"""Name in the repository -> a file here, or its content"""


def files_of(run: Path) -> Files:
    """What goes to the hub: the model's folder, the run's manifest and metrics, role tags as a chat template.

    Raises UserError where the run is not finished.
    """
    model = run / "model"
    weights = [*model.glob("*.safetensors")]
    if not (run / "run.json").is_file() or not weights:
        raise UserError(f"{run} holds no finished model: expected run.json and model/*.safetensors. Run it first.")
    files: Files = {path.name: path for path in sorted(model.iterdir()) if path.is_file()}
    files |= {name: run / name for name in ("run.json", "metrics.csv")}
    settings = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    if TEMPLATE not in files and not settings.get("chat_template"):
        files[TEMPLATE] = role_tags(_adds_bos(model)).encode()
    return dict(sorted(files.items()))


def role_tags(with_bos: bool) -> str:
    """data/template.py, render_prompt, as a chat template."""
    bos = "{{- bos_token }}" if with_bos else ""
    message = "{{- tags[message.role] + message.content }}"
    return (
        f"{{%- set tags = {json.dumps(TAGS)} %}}{bos}{{%- for message in messages %}}{message}{{%- endfor %}}"
        f"{{%- if add_generation_prompt %}}{{{{- tags.assistant }}}}{{%- endif %}}"
    )


def _adds_bos(model: Path) -> bool:
    """Does the tokenizer put its BOS before a text? Then the template has to: it tokenises without."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    return bool(tokenizer.bos_token) and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]


def push(files: Mapping[str, Path | bytes], repo: str, *, private: bool, message: str) -> str:
    """Create the repository if it is not there, and commit; the commit's URL. Raises UserError if the hub refuses."""
    import httpx2  # what huggingface_hub speaks through: no connection is its error, and no OSError
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    operations = [
        CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
        for name, content in files.items()
    ]
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        return api.create_commit(repo, operations, commit_message=message).commit_url
    except (OSError, httpx2.HTTPError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{repo}: the hub did not take it ({first}). Log in with `hf auth login`, or set HF_TOKEN to a token "
            "that may write to this repository."
        ) from error
