"""One real training under `prefrepro watch`, and its model as others get it: card, files, a hub of our own."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from checkout import Checkout, Done
from hub_server import hub
from tiny_world import make_tiny

from prefrepro.data.template import TAGS

LOAD = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
repo, messages = sys.argv[1], json.loads(sys.argv[2])
model, tokenizer = AutoModelForCausalLM.from_pretrained(repo), AutoTokenizer.from_pretrained(repo)
chat = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")["input_ids"]
model.generate(chat, max_new_tokens=2)
print(json.dumps({"chat": chat[0].tolist(), "plain": tokenizer(sys.argv[3])["input_ids"]}))
"""


class Trained(NamedTuple):
    """A checkout with one SFT run, what the watch said of it, and the run's id."""

    checkout: Checkout
    said: Done
    run: str


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """An SFT run of a tiny world, made by Snakemake under the watch."""
    checkout = Checkout(tmp_path_factory.mktemp("watched"))
    make_tiny(checkout)
    run = next(node["id"] for node in checkout.nodes() if node["kind"] == "sft")
    target = f"results/embedded/runs/{run}/run.json"
    command = [sys.executable, "-m", "snakemake", target]
    return Trained(checkout, checkout.prefrepro("watch", "table1", "--run", *command), run)


def test_without_a_terminal_each_change_is_a_line(trained: Trained) -> None:
    assert trained.said.returncode == 0, trained.said.stderr
    lines = trained.said.stdout.splitlines()
    done = [line.split(maxsplit=2)[2] for line in lines if line.split()[1] == "done"]
    assert [text.split()[0] for text in done] == ["data", "base", "sft"]
    assert re.match(f"sft {trained.run}; 3 of 21 jobs, (about|more than) .* left$", done[-1])
    assert not any("\x1b" in line for line in lines)


def test_a_look_as_json(trained: Trained) -> None:
    glance = json.loads(trained.checkout.prefrepro("watch", "table1", "--json").stdout)
    assert glance["states"] == {"done": 3, "waiting": 18}
    states = {job["id"]: job["state"] for job in glance["jobs"]}
    assert states[trained.run] == "done"


@pytest.mark.parametrize("code", [0, 3])
def test_the_watch_ends_as_its_command_does(trained: Trained, code: int) -> None:
    """What the command says is shown where it fails, and kept."""
    done = trained.checkout.prefrepro("watch", "table1", "--run", "sh", "-c", f"echo [said]; exit {code}")
    assert done.returncode == code
    kept = "results/embedded/logs/watch.log"
    assert done.stdout == (f"[said]\n(all that it said: {kept})\n" if code else "")
    assert (trained.checkout.root / kept).read_text(encoding="utf-8") == "[said]\n"


def test_without_settings_it_follows_the_plan_that_runs(trained: Trained) -> None:
    plan = trained.checkout.results / "plan.json"
    before = plan.read_bytes()
    assert trained.checkout.prefrepro("plan", "table1", "seeds=2", "--write").returncode == 0
    looks = [trained.checkout.prefrepro("watch", "table1", "--json", *more) for more in ([], ["seeds=1"])]
    plan.write_bytes(before)
    assert looks[0].stderr == "as results/embedded/plan.json has it: seeds=2\n" and not looks[1].stderr
    assert len(json.loads(looks[0].stdout)["jobs"]) > len(json.loads(looks[1].stdout)["jobs"]) == 21


def test_ctrl_c_is_told_in_one_line(trained: Trained) -> None:
    done = trained.checkout.prefrepro("watch", "table1", "--run", "sh", "-c", "echo said; kill -INT $PPID; exit 1")
    assert done.returncode == 1
    assert done.stdout == "Interrupted; what is done is kept. Next: the same command goes on.\n"


def test_a_job_that_fails_is_named_with_its_last_words(trained: Trained) -> None:
    log = trained.checkout.results / "logs" / "embeddings"
    node = next(node["id"] for node in trained.checkout.nodes() if node["kind"] == "embeddings")
    script = f"mkdir -p {log}; echo 'error: no such thing' > {log}/{node}.log; exit 1"
    done = trained.checkout.prefrepro("watch", "table1", "--run", "sh", "-c", script)
    assert done.returncode == 1
    said = (
        f"failed  embeddings {node}: error: no such thing (results/embedded/logs/embeddings/{node}.log); 3 of 21 jobs"
    )
    assert said in done.stdout


def test_a_command_that_is_not_there(trained: Trained) -> None:
    done = trained.checkout.prefrepro("watch", "table1", "--run", "snakemaek", "table1")
    assert done.returncode == 2
    assert done.stderr.startswith('error: "snakemaek" is no command here')


def test_on_a_terminal_it_is_a_picture(trained: Trained) -> None:
    ours, theirs = pty.openpty()
    command = trained.checkout.command("-m", "prefrepro", "watch", "table1", "--run", "true")
    environment = {**trained.checkout.environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    with subprocess.Popen(command, cwd=trained.checkout.root, env=environment, stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux's end of a terminal
                break
            if not part:
                break
            shown += part
    os.close(ours)
    assert process.returncode == 0
    text = shown.decode()
    assert "3 of 21 jobs" in text
    assert "sft 1/1" in text


def test_the_card_says_what_the_run_says(trained: Trained) -> None:
    folder = trained.checkout.results / "runs" / trained.run
    card = (folder / "model" / "README.md").read_text(encoding="utf-8")
    row = json.loads((folder / "run.json").read_text(encoding="utf-8"))["row"]
    for said in (
        f"# {trained.run}",
        row["data_hash"],
        row["code_digest"],
        "license: apache-2.0",
        f"{row['steps']} steps",
    ):
        assert said in card
    assert "nothing here compares with a printed number" in card
    assert "rpo-paired_mistral-7b_hh_" in card, "what starts from it"


def test_a_dry_run_lists_the_files(trained: Trained) -> None:
    done = trained.checkout.prefrepro("push", trained.run, "--repo", "me/tiny", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    folder = trained.checkout.results / "runs" / trained.run
    assert listed["url"] is None
    assert {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "model.safetensors",
        "run.json",
        "tokenizer.json",
    } <= set(listed["files"])
    assert listed["files"]["model.safetensors"] == (folder / "model" / "model.safetensors").stat().st_size
    assert not (folder / "model" / "chat_template.jinja").exists(), "here its absence says role tags"


def environment_of(hub_address: str, cache: Path) -> dict[str, str]:
    """What makes huggingface_hub talk to a hub of our own."""
    return {
        "HF_ENDPOINT": hub_address, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_token",
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip


def run(checkout: Checkout, environment: dict[str, str], *arguments: str) -> Done:
    return subprocess.run(
        checkout.command(*arguments),
        cwd=checkout.root,
        env={**checkout.environment, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_hub_is_a_message(trained: Trained, tmp_path: Path) -> None:
    nowhere = environment_of("http://127.0.0.1:9", tmp_path / "cache")
    done = run(trained.checkout, nowhere, "-m", "prefrepro", "push", trained.run, "--repo", "me/tiny")
    assert done.returncode == 2
    assert done.stderr.startswith("error: me/tiny: the hub did not take it ")
    assert "Traceback" not in done.stderr


def test_what_is_pushed_can_be_used(trained: Trained, tmp_path: Path) -> None:
    """The real client to a hub of our own and back; its chat template gives the tokens that were trained on."""
    repository = tmp_path / "hub" / "models" / "me" / "tiny"
    with hub(tmp_path / "hub") as address:
        environment = environment_of(address, tmp_path / "cache")

        def ask(*arguments: str) -> Done:
            return run(trained.checkout, environment, *arguments)

        pushed = ask("-m", "prefrepro", "push", trained.run, "--repo", "me/tiny")
        assert pushed.returncode == 0, pushed.stderr
        assert f"are at {address}/me/tiny/commit/" in pushed.stdout
        model = trained.checkout.results / "runs" / trained.run / "model"
        assert (repository / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
        messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
        plain = f"{TAGS['user']}Hello{TAGS['assistant']}Hi{TAGS['assistant']}"
        used = ask("-c", LOAD, "me/tiny", json.dumps(messages), plain)
        assert used.returncode == 0, used.stderr
    tokens = json.loads(used.stdout)
    assert tokens["chat"] == tokens["plain"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sft_mistral-7b_hh_00000000", "--repo", "me/x"], "is not in the plan (default config)"),
        (["dpo", "--repo", "x"], '--repo is "x"; expected USER/NAME'),
    ],
    ids=["unknown run", "no owner"],
)
def test_what_cannot_be_pushed(trained: Trained, arguments: list[str], said: str) -> None:
    done = trained.checkout.prefrepro("push", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_run_that_is_not_finished_is_not_pushed(trained: Trained) -> None:
    run = next(node["id"] for node in trained.checkout.nodes() if node["kind"] == "run")
    done = trained.checkout.prefrepro("push", run, "--repo", "me/x", "--dry-run")
    assert done.returncode == 2
    assert "holds no finished model" in done.stderr
