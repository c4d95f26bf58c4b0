"""What the plan of table 1 holds, and which ids an edit or another config changes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from checkout import Checkout, Nodes, changed, counts, hh_rows, ids, write_hh
from shared import SHARED

from prefrepro.files import show
from prefrepro.plan.build import make_plan
from prefrepro.plan.code_digest import code_files
from prefrepro.plan.plan import Plan
from prefrepro.specs.method import method_names, read_method
from prefrepro.specs.table import read_table, table_files

TABLE1 = {"data": 1, "base": 1, "sft": 1, "reference": 1, "embeddings": 1, "run": 5, "sample": 5, "verdict": 5}


def table1(**config: Any) -> tuple[Plan, Nodes]:
    """The plan of this checkout, in this process, and the nodes of table 1."""
    plan = make_plan(config)
    nodes = [
        {"kind": node.kind, "id": node.id, "spec": node.spec, "inputs": node.inputs}
        for node in plan.needed_by(["table1"])
    ]
    return plan, nodes


def run_of(nodes: Nodes, method: str) -> dict[str, Any]:
    """The spec of the only run of a method."""
    (spec,) = [node["spec"] for node in nodes if node["kind"] == "run" and node["spec"]["method"] == method]
    return spec


@pytest.fixture
def hh_file(tmp_path: Path) -> Path:
    """Two rows as Anthropic released theirs."""
    return write_hh(tmp_path / "hh.jsonl.gz", hh_rows(2))


def test_table1_plans_every_job_once() -> None:
    plan, nodes = table1()
    assert counts(nodes) == {**TABLE1, "table": 1}
    assert len(ids(nodes)) == len(nodes)
    cells = plan.tables["table1"].spec["cells"]
    assert [cell["row"] for cell in cells] == ["dpo", "uniform", "diagonal", "rpo-unpaired", "rpo-paired"]
    for role, kind in (("run_ids", "run"), ("sample_ids", "sample"), ("verdict_ids", "verdict")):
        assert {one for cell in cells for one in cell[role]} == ids(nodes, kind)


def test_inputs_come_before_what_they_feed() -> None:
    _, nodes = table1(seeds=2)
    seen: set[str] = set()
    for node in nodes:
        assert set(node["inputs"].values()) <= seen, node["id"]
        seen.add(node["id"])


def test_all_runs_start_from_one_sft_and_share_one_reference() -> None:
    _, nodes = table1()
    runs = [node for node in nodes if node["kind"] == "run"]
    assert {node["inputs"]["init"] for node in runs} == ids(nodes, "sft")
    assert {node["inputs"]["reference"] for node in runs} == ids(nodes, "reference")
    embedded = {node["spec"]["method"] for node in runs if "embeddings" in node["inputs"]}
    assert embedded == {"rpo_paired", "rpo_unpaired"}


def test_the_same_config_gives_the_same_ids() -> None:
    assert ids(table1()[1]) == ids(table1()[1]) == ids(table1(seeds=1, reading="paper", judge=None)[1])


def test_a_second_seed_adds_trainings_and_shares_base_data_and_embeddings() -> None:
    (_, one), (_, two) = table1(), table1(seeds=2)
    doubled = {kind: 2 * n for kind, n in TABLE1.items() if kind not in ("data", "base", "embeddings")}
    assert counts(two) == {**TABLE1, **doubled, "table": 1}
    assert ids(one) - ids(one, "table") < ids(two)
    assert {len(cell["run_ids"]) for node in two if node["kind"] == "table" for cell in node["spec"]["cells"]} == {2}


def test_the_reading_changes_what_the_readings_differ_in() -> None:
    (_, paper), (_, code) = table1(), table1(reading="code")
    assert counts(paper) == counts(code)
    assert run_of(paper, "rpo_uniform")["hparams"]["reading"] == "paper"
    assert run_of(code, "rpo_uniform")["hparams"]["reading"] == "code"
    for name in ("batch_size", "contrast_size"):
        assert run_of(code, "rpo_unpaired")["training"][name] * 2 == run_of(paper, "rpo_unpaired")["training"][name]
        assert run_of(code, "rpo_paired")["training"][name] == run_of(paper, "rpo_paired")["training"][name]
    assert not ids(paper, "run", "sample", "verdict") & ids(code)


def test_the_protocol_changes_verdicts_only() -> None:
    (_, paper), (_, robust) = table1(), table1(protocol="robust")
    assert {kind for kind, _ in changed(paper, robust)} == {"verdict", "table"}
    assert not ids(paper, "verdict") & ids(robust)


def test_the_budget_is_no_part_of_any_result() -> None:
    assert ids(table1()[1]) == ids(table1(budget_usd=3.5)[1])


def test_local_hh_files_replace_data_and_judge(hh_file: Path) -> None:
    plan, nodes = table1(hh_files=str(hh_file))
    (data,) = [node for node in nodes if node["kind"] == "data"]
    assert data["id"].startswith("hh-files_")
    assert data["spec"]["source"]["files"] == str(hh_file)
    assert counts(nodes) == {**TABLE1, "reward_model": 1, "preference": 1, "table": 1}
    (reward_model,) = [node for node in nodes if node["kind"] == "reward_model"]
    assert reward_model["spec"]["part"] == "judge"
    assert {node["inputs"]["scorer"] for node in nodes if node["kind"] == "verdict"} == {reward_model["id"]}
    assert {cell["judge"] for cell in plan.tables["table1"].spec["cells"]} == {plan.scale["files_judge"]}
    assert not ids(nodes) & ids(table1()[1])


def test_another_content_of_a_local_hh_file_is_another_data_set(hh_file: Path) -> None:
    _, before = table1(hh_files=str(hh_file))
    hh_file.write_bytes(hh_file.read_bytes() + gzip.compress(b"\n"))
    _, after = table1(hh_files=str(hh_file))
    assert not ids(before, "data") & ids(after)


def test_a_judge_by_name_changes_verdicts_only() -> None:
    plan, nodes = table1(judge="openai")
    assert {kind for kind, _ in changed(table1()[1], nodes)} == {"verdict", "table"}
    cells = plan.tables["table1"].spec["cells"]
    assert {cell["judge"] for cell in cells} == {"openai"}
    assert all(cell["judge_is_substitute"] for cell in cells)


def methods_table(**config: Any) -> tuple[Plan, Nodes]:
    """As `table1`, of every method at embedded scale, on dialogue."""
    plan = make_plan(config)
    nodes = [node for node in plan.needed_by(["embedded_methods"]) if node.dataset != "tldr"]
    return plan, [{"kind": n.kind, "id": n.id, "spec": n.spec, "inputs": n.inputs} for n in nodes]


def test_ppo_samples_and_asks_a_reward_model_under_reading_paper_alone() -> None:
    """The reward model is a node of its own, of the policy's training pairs and from its SFT model."""
    (_, paper), (_, code) = methods_table(), methods_table(reading="code")
    (run,) = [n for n in paper if n["kind"] == "run" and n["spec"]["method"] == "ppo"]
    (reward_model,) = [n for n in paper if n["kind"] == "reward_model"]
    assert run["inputs"]["reward_model"] == reward_model["id"]
    assert reward_model["spec"]["part"] == "train"
    assert reward_model["inputs"] == {role: run["inputs"][role] for role in ("data", "init")}
    training = run["spec"]["training"]
    assert training["rollout"]["responses"] == "policy"
    assert training["contrast_size"] == training["batch_size"], "advantages are whitened over the whole batch"
    (offline,) = [n for n in code if n["kind"] == "run" and n["spec"]["method"] == "ppo_offline"]
    assert offline["spec"]["training"]["rollout"]["responses"] == "data"
    assert offline["spec"]["training"]["rollout"]["ppo_epochs"] == 1
    assert "reward_model" not in offline["inputs"]
    assert not ids(code, "reward_model")
    others = [n["spec"]["training"] for n in paper if n["kind"] == "run" and n is not run]
    assert not any("rollout" in training for training in others)


def test_the_reward_model_of_a_policy_is_not_the_one_that_judges_it(hh_file: Path) -> None:
    _, nodes = methods_table(hh_files=str(hh_file))
    parts = {n["id"]: n["spec"]["part"] for n in nodes if n["kind"] == "reward_model"}
    assert sorted(parts.values()) == ["judge", "train"]
    assert {parts[n["inputs"]["scorer"]] for n in nodes if n["kind"] == "verdict"} == {"judge"}
    (rewarding,) = {n["inputs"]["reward_model"] for n in nodes if "reward_model" in n["inputs"]}
    assert parts[rewarding] == "train"


def test_log_z_is_made_of_the_reference_and_of_the_reward_model_that_ppo_has() -> None:
    """Of rewards that know no β, so that runs of two β share them; no other method waits for them."""
    plan = make_plan({})
    (ppo,) = [n for n in plan.needed_by(["table4"]) if n.kind == "run" and n.name == "ppo_mistral-7b_hh"]
    nodes = plan.needed_by(["extensions"])
    (rewards,) = [n for n in nodes if n.kind == "reference_rewards"]
    (run,) = [n for n in nodes if "reference_rewards" in n.inputs]
    assert run.spec["method"] == "rpo_z"
    assert run.inputs["reference_rewards"] == rewards.id
    assert rewards.inputs == {role: ppo.inputs[role] for role in ("data", "init", "reward_model")}
    assert "hparams" not in rewards.spec


def test_extensions_are_in_no_table_of_a_paper() -> None:
    """Off by default: `tables` leaves out what has scales of its own. And each is in such a table, so that it runs."""
    tables = [read_table(path) for path in table_files()]
    extensions = {name for name in method_names() if read_method(name).is_extension}
    assert extensions == {"dpo_own_weight", "rpo_ot", "rpo_z"}
    assert not extensions & {row.method for table in tables if table.scales is None for row in table.rows}
    assert extensions <= {row.method for table in tables if table.scales is not None for row in table.rows}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"policies": {}}, '"policies" is unknown'),
        ({"policy": {"ppo_epoch": 2}}, "Did you mean ppo_epochs?"),
        ({"policy": {"batch_size": 10, "minibatches": 4}}, "batch_size 10 does not divide into 4 minibatches"),
        ({"policy": {"hparams": {"cliprange": 2.0}}}, "cliprange is 2.0"),
        ({"reference": {"sample": 2}}, "Did you mean samples?"),
        ({"reference": {"samples": 0}}, "rollout.reference.samples: found 0, expected a whole number of at least 1"),
    ],
)
def test_rollout_settings_are_checked_before_anything_runs(checkout: Checkout, change: Any, said: str) -> None:
    checkout.edit_yaml("config/scales/embedded.yaml", {"rollout": change})
    done = checkout.prefrepro("plan", "embedded_methods")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_a_contrast_larger_than_a_batch_is_refused(checkout: Checkout) -> None:
    """It would be cut to the batch unseen. As large as the batch it is one matrix, on one rank as on eight."""
    row = {"rows": {"rpo-gathered": {"training": {"contrast_size": 17}}}}
    checkout.edit_yaml("paper_tables/rpo/extensions.yaml", row)
    done = checkout.prefrepro("plan", "extensions")
    assert done.returncode != 0
    assert "row rpo-gathered: contrast_size 17 is more than batch_size 16" in done.stderr


@pytest.mark.parametrize(("method", "said"), [("rpo_unpaired", "embeddings"), ("kto", "mismatched")])
def test_what_is_made_of_pairs_is_refused_for_groups(checkout: Checkout, method: str, said: str) -> None:
    row = {"label": "x", "method": method, "pairs": "best_vs_worst", "embedder": "all-MiniLM-L6-v2"}
    checkout.edit_yaml("paper_tables/swepo/embedded_methods.yaml", {"rows": {"wrong": row}})
    done = checkout.prefrepro("plan", "swepo_embedded_methods")
    assert done.returncode != 0
    assert f"row wrong: {method} wants {said}, which are made of pairs, but the data set holds groups" in done.stderr


def test_commands_in_a_copy_import_the_copy(checkout: Checkout) -> None:
    done = checkout.python("-c", "import prefrepro.plan.build as p, methods as m; print(p.__file__, m.__file__)")
    assert done.stdout.split() == [
        str(checkout.root / "prefrepro/plan/build.py"),
        str(checkout.root / "methods/__init__.py"),
    ]
    assert ids(checkout.nodes()) == ids(table1()[1])  # and a plan does not depend on where the checkout stands
    checkout.edit("prefrepro/cli/main.py", "prefrepro: look at the plan", "THE COPY: look at the plan")
    assert "THE COPY" in checkout.prefrepro("--help").stdout


def test_comments_docstrings_and_messages_change_nothing(checkout: Checkout) -> None:
    before = checkout.nodes()
    checkout.edit("methods/dpo.py", '"""Eq. 7. Shapes', '"""Equation 7, reworded. Shapes')
    checkout.edit("methods/dpo.py", "# Eq. 7", "# the seventh equation")
    checkout.edit("methods/dpo.py", '"""Strength of the KL pull', '"""How hard the KL pull is')
    checkout.edit("prefrepro/train/loop.py", "def train(", "# A comment.\n\n\ndef train(")
    checkout.edit("prefrepro/model/load.py", "the tokenizer has no EOS token", "this tokenizer lacks an EOS token")
    checkout.edit("prefrepro/judge/stage.py", 'raise UserError(f"', 'raise UserError(f"Sorry: ')
    assert ids(checkout.nodes()) == ids(before)


def test_an_edited_formula_changes_its_own_run_and_what_hangs_on_it(checkout: Checkout) -> None:
    before = checkout.nodes()
    checkout.edit("methods/dpo.py", "-F.logsigmoid(hp.beta", "-F.logsigmoid(2 * hp.beta")
    assert {(kind, name.split("_")[0]) for kind, name in changed(before, checkout.nodes())} == {
        ("run", "dpo"),
        ("sample", "dpo"),
        ("verdict", "dpo"),
        ("table", "rpo"),
    }


AFTER_DATA = {"base", "sft", "reference", "embeddings", "run", "sample", "verdict", "table"}


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        *(
            (f"prefrepro/model/{name}.py", AFTER_DATA)
            for name in ("attention", "logps", "batches", "optimizer", "learner")
        ),
        ("prefrepro/model/align.py", {"sft", "reference", "run", "sample", "verdict", "table"}),
        ("prefrepro/model/reference.py", {"reference", "run", "sample", "verdict", "table"}),
        ("prefrepro/judge/pairwise.py", {"verdict", "table"}),
        ("prefrepro/model/decode.py", {"sample", "verdict", "table"}),  # table 1 has no method that draws rollouts
        ("prefrepro/tables/render.py", {"table"}),
    ],
)
def test_edited_machinery_changes_what_runs_through_it(checkout: Checkout, path: str, kinds: set[str]) -> None:
    before = checkout.nodes()
    checkout.edit(path, "from __future__ import annotations\n", "from __future__ import annotations\n\n_EDITED = 1\n")
    after = checkout.nodes()
    assert {kind for kind, _ in changed(before, after)} == kinds
    for kind in kinds:
        assert not ids(before, kind) & ids(after), f"a {kind} kept its id"


@pytest.mark.parametrize("path", ["prefrepro/train/loop.py", "prefrepro/train/run.py", "prefrepro/sample/generate.py"])
def test_edited_orchestration_changes_nothing(checkout: Checkout, path: str) -> None:
    before = checkout.nodes()
    checkout.edit(path, "from __future__ import annotations\n", "from __future__ import annotations\n\n_EDITED = 1\n")
    assert ids(checkout.nodes()) == ids(before)


def test_decoding_is_part_of_a_training_that_draws_rollouts() -> None:
    plan, _ = methods_table()
    for run in plan.of_kind("run"):
        draws = "rollout" in run.spec["training"]
        assert ("prefrepro/model/decode.py" in {show(path) for path in code_files(*run.code)}) == draws


def test_an_edited_prompt_file_changes_verdicts_only(checkout: Checkout) -> None:
    before = checkout.nodes()
    prompt = checkout.root / "prefrepro/judge/prompts/dialogue-paper.txt"
    prompt.write_text(prompt.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert {kind for kind, _ in changed(before, checkout.nodes())} == {"verdict", "table"}


def test_a_method_is_one_new_file_and_one_row(checkout: Checkout) -> None:
    before = checkout.nodes()
    source = (checkout.root / "methods/dpo.py").read_text(encoding="utf-8")
    (checkout.root / "methods/mine.py").write_text(source.replace('NAME = "dpo"', 'NAME = "mine"'), encoding="utf-8")
    assert ids(checkout.nodes()) == ids(before)
    checkout.edit_yaml("paper_tables/rpo/table1.yaml", {"rows": {"mine": {"label": "Mine", "method": "mine"}}})
    after = checkout.nodes()
    assert {kind for kind, name in changed(before, after) if name.startswith("mine_")} == {"run", "sample", "verdict"}
    assert len(after) == len(before) + 3


def test_planning_is_light(checkout: Checkout) -> None:
    """The Snakefile is parsed again in every job."""
    code = (
        "import sys; from prefrepro.plan.build import make_plan; make_plan();"
        "print({'torch', 'transformers', 'pandas', 'numpy', 'openai', 'snakemake'} & set(sys.modules))"
    )
    assert checkout.python("-c", code).stdout == "set()\n"


def test_a_table_may_start_from_the_base_model_where_its_paper_starts_from_sft(checkout: Checkout) -> None:
    checkout.edit("paper_tables/rpo/table1.yaml", "baseline: dpo", "baseline: dpo\nstart: base")
    nodes = checkout.nodes()
    runs = [node for node in nodes if node["kind"] == "run"]
    assert not ids(nodes, "sft")
    assert {node["inputs"]["init"] for node in runs} == ids(nodes, "base")


def test_a_reference_node_holds_what_runs_read_and_no_more() -> None:
    """Mismatched responses and rollouts do not score train and eval again; max_steps leaves out rows of the hub."""
    pocket, whole = make_plan({"scale": "pocket"}), make_plan({"scale": "paper"})
    nodes = {node.id: node for node in pocket.needed_by(["table4"])}
    kinds = set[tuple[str, ...]]()
    for node in nodes.values():
        if node.kind != "run" or not read_method(node.spec["method"]).needs.get("reference", True):
            continue
        needs, found = read_method(node.spec["method"]).needs, {}
        for role in ("reference", "reference_train", "reference_mismatched"):
            if role in node.inputs:
                spec = nodes[node.inputs[role]].spec
                found |= dict.fromkeys(spec["parts"], spec.get("read"))
        settings = {name: node.spec["training"][name] for name in ("batch_size", "epochs", "max_steps")}
        rows = node.spec["training"].get("rows") or needs.get("rows", "pairs")
        read = {"rows": rows, "pairs": None, "seed": 1, **settings}
        is_rollout, mismatched = needs["shape"] == "rollout", {"mismatched": read} if needs.get("mismatched") else {}
        assert found == {"eval": None} | ({} if is_rollout else {"train": read} | mismatched)
        kinds.add(tuple(sorted(found)))
    assert kinds == {("eval",), ("eval", "train"), ("eval", "mismatched", "train")}
    assert not [node for node in whole.of_kind("reference") if "read" in node.spec]
    for plan in (pocket, whole):
        parts = [(str(node.inputs), str(node.spec.get("read")), part) for node in plan.of_kind("reference")
                 for part in node.spec["parts"] if part == "mismatched"]  # fmt: skip
        assert len(parts) == len(set(parts)), "once for all runs that share a start"


def test_the_runs_of_other_tables_do_not_change_what_a_reference_holds(checkout: Checkout) -> None:
    before = {node["id"] for node in checkout.nodes() if node["kind"] == "reference"}
    for path in checkout.root.glob("paper_tables/*/*.yaml"):
        if path.stem not in ("paper", "table1"):
            path.unlink()
    assert {node["id"] for node in checkout.nodes() if node["kind"] == "reference"} == before


def test_a_ranked_part_has_one_reference_for_all_runs_that_share_a_start() -> None:
    if not (SHARED / "data").is_dir():
        pytest.skip(f"{SHARED}/data is absent: the real files are not shipped with the code")
    plan = make_plan({"scale": "laptop", "data": str(SHARED / "data")})
    ranked = [node for node in plan.of_kind("preference") if "reference" in node.inputs]
    used: dict[tuple[str, str, str], set[str]] = {}
    for node in ranked:
        reference = plan.nodes[node.inputs["reference"]]
        assert reference.spec["parts"] == [node.spec["part"]]
        used.setdefault((str(reference.inputs), node.spec["part"], str(reference.spec["dtype"])), set()).add(
            reference.id
        )
    assert {len(nodes) for nodes in used.values()} == {1} and {"eval", "dev"} == {part for _, part, _ in used}
    runs = [plan.nodes[node.inputs["run"]] for node in ranked]
    assert {tuple(plan.nodes[run.inputs["reference"]].spec["parts"]) for run in runs} == {("train",)}
