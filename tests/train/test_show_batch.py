"""What show-batch prints is what the trainer reads: tokens, masks, what was cut; and where it differs from sampling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from checkout import Checkout
from test_chat_template import CHATML, MISTRAL, with_template
from tiny_world import DATASET, make_tiny
from train_helpers import make_policy, method_of, settings

from prefrepro.data.build import build
from prefrepro.errors import UserError
from prefrepro.files import write_json, write_lines
from prefrepro.inspect.batch import first_batch, training_named
from prefrepro.inspect.batch_text import as_text
from prefrepro.model.align import start
from prefrepro.model.batches import sequences_of, step_rows
from prefrepro.model.load import save_model
from prefrepro.model.training import needs_in
from prefrepro.plan.nodes import Graph, Node
from prefrepro.train.run import text_facts

LIMITS = {"max_length": 200, "max_prompt_length": 90, "truncation_mode": "keep_end", "cut_prompts": "always"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs, groups and a base model, as their jobs leave them."""
    results = tmp_path_factory.mktemp("show") / "results"
    world = DATASET | {
        "rows": {"pretrain": 8, "train": 40, "eval": 4, "judge": 0}, "n_prompts": 4, "prompt_batch": 4,
        "order_seed": 1, "reading": "paper",
    }  # fmt: skip
    for form in ("pairs", "ranked"):
        build({"source": world | {"form": form}}, {}, results / "data" / form)
    save_model(make_policy().model, with_template(CHATML), results / "base" / "b" / "model")
    write_json(results / "base" / "b" / "run.json", {})
    return results


def graph_of(results: Path, name: str, **changes: Any) -> tuple[Graph, Node]:
    """A run of a method on pairs, or on groups where it ranks or `pairs` is given."""
    method, pairs = method_of(name), changes.pop("pairs", None)
    form = "ranked" if method.NEEDS.rows == "groups" or pairs else "pairs"
    training = settings(**(LIMITS | changes))
    spec = {
        "method": name, "training": training, "seed": 1, "init": "", "part": "train", "pairs": pairs, "hparams": {},
        "dataset": "hh",
    }  # fmt: skip
    nodes = [
        Node("data", form, form, {}, {}, ()),
        Node("base", "b", "b", {}, {}, ()),
        Node("sft", "start_m_hh_1", "start_m_hh", spec | {"method": "sft"}, {"data": form, "init": "b"}, ()),
        Node("run", f"{name}_m_hh_1", f"{name}_m_hh", spec, {"data": form, "init": "start_m_hh_1"}, ()),
    ]
    return Graph(results, [], {}, {}, {node.id: node for node in nodes}), nodes[-1]


@pytest.mark.parametrize("name", ["sft", "dpo", "kto", "rpo_unpaired", "infonca", "bradley_terry"])
def test_it_is_what_the_trainer_reads(results: Path, name: str) -> None:
    graph, node = graph_of(results, name)
    shown = first_batch(graph, node, 99)
    inputs = {"data": results / "data" / node.inputs["data"]}
    begun = start(node.spec, inputs, results / "base" / "b" / "model", with_template(CHATML))
    needs = needs_in(begun.training, begun.objective.needs)
    rows = step_rows(begun.inputs.prompt_ids, needs, begun.training.batch_size, begun.seed)(0)
    expected = sorted(s.prompt_ids + s.response_ids for s in sequences_of(rows, begun.inputs, needs))
    sequences = [one for example in shown["examples"] for one in example["sequences"]]
    assert sorted(one["prompt"]["ids"] + one["response"]["ids"] for one in sequences) == expected
    for one in sequences:
        n_prompt, n_all = len(one["prompt"]["ids"]), len(one["prompt"]["ids"]) + len(one["response"]["ids"])
        assert one["predicted"] == list(range(n_prompt, n_all))
        assert one["response"]["ids"][-1] == shown["eos"]["id"]
    assert shown["template"] == "chat template"
    roles = {one["role"] for one in sequences}
    assert ("mismatched chosen" in roles) == (name == "kto")
    assert (min(roles).startswith("response 1, score")) == (name == "infonca")


def test_selected_pairs_of_groups_find_their_texts(results: Path) -> None:
    graph, node = graph_of(results, "dpo", pairs="best_vs_worst", max_length=1000)
    for example in first_batch(graph, node, 3)["examples"]:
        assert [one["role"] for one in example["sequences"]] == ["chosen", "rejected"]
        assert all(one["response_cut"] is None for one in example["sequences"])


def test_what_was_cut_is_marked_with_its_end(results: Path) -> None:
    for mode, end in (("keep_end", "start"), ("keep_start", "end")):
        graph, node = graph_of(results, "dpo", max_prompt_length=12, max_length=16, truncation_mode=mode)
        batch = first_batch(graph, node, 2)
        for one in batch["examples"][0]["sequences"]:
            assert len(one["prompt"]["ids"]) == 12 and one["prompt_cut"]["end"] == end
            assert one["response_cut"]["ids"] and one["response_cut"]["end"] == "end"
            whole = one["prompt_cut"]["ids"] + one["prompt"]["ids"]
            assert len(whole) > 12 and one["prompt_cut"]["is_bos_put"] == (mode == "keep_end")
        text = as_text(batch, 72)
        assert "tokens cut off here: " in text and ("BOS put in place" in text) == (mode == "keep_end")
        assert max(map(len, text.splitlines())) <= 72


def test_the_same_prompt_is_asked_and_another_is_told(results: Path) -> None:
    graph, node = graph_of(results, "dpo")
    batch = first_batch(graph, node, 2)
    assert [example["asked"]["differs_at"] for example in batch["examples"]] == [None, None]
    assert batch["stops"][0] == batch["eos"] and "asked when sampling: the same" in as_text(batch, 80)
    # The saved model lost its template, so that sampling renders role tags.
    save_model(make_policy().model, with_template(None), results / node.folder / "model")
    write_json(results / node.done, {})
    told = first_batch(graph, node, 1)
    assert told["examples"][0]["asked"]["differs_at"] is not None
    assert "asked when sampling: OTHER than" in as_text(told, 80)


def test_control_characters_do_not_reach_the_terminal(results: Path, tmp_path: Path) -> None:
    graph, node = graph_of(results, "dpo")
    batch = first_batch(graph, node, 1)
    batch["examples"][0]["sequences"][0]["prompt"]["text"] += "\x1b[2J\x07"
    assert "\x1b" not in as_text(batch, 80) and "\\x1b[2J\\x07" in as_text(batch, 80)


def test_what_cannot_be_shown_is_one_message(results: Path, tmp_path: Path) -> None:
    graph, node = graph_of(results, "dpo", batch_size=4096)
    with pytest.raises(UserError, match=r"cannot fill one batch of 4096. Lower training.batch_size"):
        first_batch(graph, node, 1)
    with pytest.raises(UserError, match="is pre-training on whole texts"):
        first_batch(graph, graph.nodes["b"], 1)
    with pytest.raises(UserError, match='"dpo_x" names 0 trainings of the plan; expected one of b, start_m'):
        training_named(graph, "dpo_x")
    assert training_named(graph, "dpo") is node
    graph.results = tmp_path
    with pytest.raises(UserError, match=r"data/pairs/manifest\.json is missing.* Next: snakemake .*manifest\.json$"):
        first_batch(graph, node, 1)


def test_a_template_that_refuses_a_system_message_says_which_and_what_next(results: Path, tmp_path: Path) -> None:
    graph, node = graph_of(results, "dpo")
    prompt = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Why?"}]
    row = '{"prompt_id": "p", "prompt": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "?"}], '
    write_lines(tmp_path / "data" / "pairs" / "train.jsonl", [row + '"chosen": "So.", "rejected": "No."}\n'])
    write_lines(tmp_path / "data" / "pairs" / "eval.jsonl", [])
    write_json(tmp_path / "data" / "pairs" / "manifest.json", {})
    save_model(make_policy().model, with_template(MISTRAL), tmp_path / "base" / "b" / "model")
    write_json(tmp_path / "base" / "b" / "run.json", {})
    graph.results = tmp_path
    with pytest.raises(UserError, match=r"chat template of \S+model refuses a prompt of system, user \(.*role_tags"):
        first_batch(graph, node, 1)
    assert len(prompt) == 2


def test_the_manifest_says_how_long_and_how_much_was_cut(results: Path) -> None:
    _, node = graph_of(results, "dpo", max_prompt_length=12, max_length=16)
    inputs = {"data": results / "data" / "pairs"}
    tokenizer = with_template(CHATML)
    facts = text_facts(start(node.spec, inputs, results / "base" / "b" / "model", tokenizer).inputs, tokenizer)
    assert facts["prompts_cut_share"] == 1.0 and facts["tokens"]["prompt"] == {"mean": 12.0, "max": 12}
    assert facts["tokens"]["response"]["max"] == 5  # the room that is left, and EOS
    assert facts["eos"] == {"id": tokenizer.eos_token_id, "text": "</s>"} and facts["template"] == "chat"


def test_on_the_command_line(tmp_path: Path) -> None:
    """A cell's address and a prefix name the same run; nothing made yet is a command, too few rows a message."""
    copy = Checkout(tmp_path)
    make_tiny(copy)
    done = copy.prefrepro("show-batch", "rpo/table1/dpo")
    assert done.returncode == 2 and "Next: snakemake results/embedded/data/embedded-dialogue_" in done.stderr
    made = copy.snakemake("--cores", "1", done.stderr.strip().rpartition("snakemake ")[2])
    assert made.returncode == 0, made.stderr
    done = copy.prefrepro("show-batch", "dpo")
    assert done.returncode == 2 and "Next: snakemake results/embedded/base/" in done.stderr
    assert copy.snakemake("--cores", "1", done.stderr.strip().rpartition("snakemake ")[2]).returncode == 0
    shown = copy.prefrepro("show-batch", "rpo/table1/dpo/win-rate", "-n", "1")
    assert shown.returncode == 0 and shown.stdout.startswith("dpo_mistral-7b_hh_")
    assert copy.prefrepro("show-batch", "dpo", "-n", "1").stdout == shown.stdout
    assert '"predicted"' in copy.prefrepro("show-batch", "dpo", "--json").stdout
    copy.edit_yaml("config/scales/embedded.yaml", {"training": {"batch_size": 512}})
    few = copy.prefrepro("show-batch", "dpo")
    assert few.returncode == 2 and "training rows cannot fill one batch of 512. Lower" in few.stderr
