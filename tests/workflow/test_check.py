"""`prefrepro check` finds what is wrong and passes what is right; what `prefrepro new-method` writes is right."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from checkout import Checkout
from test_readme import block

from prefrepro.errors import UserError
from prefrepro.files import ROOT
from prefrepro.method_tools.check import RULES, Report, check_method
from prefrepro.method_tools.new import STARTS, starting_text
from prefrepro.specs.method import method_names

PAIRED_LOSSES = "losses = -F.logsigmoid(hp.beta * (chosen - rejected))"
OTHER_REFERENCE = """chosen = batch.policy_chosen_logps - batch.ref_rejected_logps
    rejected = batch.policy_rejected_logps - batch.ref_chosen_logps
    losses = -F.logsigmoid(hp.beta * (chosen - rejected))"""
OTHER_LENGTHS = "losses = -F.logsigmoid(chosen / batch.rejected_lengths - rejected / batch.chosen_lengths)"
UNPAIRED_LOSSES = "losses = -F.logsigmoid(torch.cat([chosen - hp.delta, hp.delta - rejected]))"
RANKED_LOSSES = "-(soft_labels(batch, hp).to(shares) * shares).sum(dim=-1)"
BETA = '''    beta: Annotated[float, "> 0"] = 0.1
    """Strength of the KL pull to the reference. Paper: β."""
'''
SOURCE = "ours, so far Direct Preference Optimization (Rafailov et al., 2023, arXiv:2305.18290)"
LEAKY = "return LossOutput(losses, hp.beta * chosen, hp.beta * rejected.detach())"
RETURN = "return LossOutput(losses, hp.beta * chosen.detach(), hp.beta * rejected.detach())"

BROKEN = [
    # rule, shape, what is replaced, by what, what the message says
    ("header", "paired", 'NAME = "broken"', 'NAME = "other"', 'NAME is "other", expected "broken"'),
    ("header", "paired", 'PAPER = "ours"', 'PAPER = "ou" + "rs"', "not literal"),
    ("header", "paired", 'PAPER = "ours"', 'PAPER = ""', "PAPER is ''"),
    ("header", "paired", 'shape="paired"', 'shape="pairde"', "NEEDS shape='pairde'"),
    ("header", "paired", "reference=True", "referenec=True", "NEEDS has referenec"),
    ("header", "paired", "reference=True", "reference=1", "NEEDS reference=1"),
    ("header", "paired", "reference=True", 'rows="mixed"', 'NEEDS shape="paired" and rows="mixed"'),
    ("header", "ranked", ', rows="groups"', "", 'NEEDS shape="ranked" and rows="pairs"'),
    ("header", "paired", "reference=True", "mismatched=True", 'NEEDS shape="paired" and mismatched'),
    ("header", "paired", "return LossOutput(", "return LossOutput((", "no valid Python"),
    ("docstrings", "paired", SOURCE, "new", "names no source"),
    ("docstrings", "paired", BETA, BETA.partition("\n")[0] + "\n", "beta has no docstring"),
    ("docstrings", "paired", '    """Eq. 7', '    _ = """Eq. 7', "loss has no docstring"),
    ("length", "paired", "\n\n@dataclass", "\n" * 70 + "@dataclass", "lines"),
    ("import", "paired", "import torch.nn.functional as F", "import torch.no_such as F", "ModuleNotFoundError"),
    ("hparams", "paired", "frozen=True, ", "", "not frozen"),
    ("hparams", "paired", "@dataclass(frozen=True, slots=True)\n", "", "no dataclass"),
    ("hparams", "paired", '"> 0"] = 0.1', '"> 0"] = -0.1', "beta = -0.1"),
    ("signature", "paired", "batch: PairedBatch", "batch: LossOutput", "batch: methods.contract.LossOutput"),
    ("signature", "paired", "hp: Hparams) ->", "hp: Hparams, device: str = 'cpu') ->", "device"),
    ("signature", "paired", " -> LossOutput:", ":", "(batch: methods.contract.PairedBatch"),
    ("signature", "paired", "def loss(", "def losses(", "no function loss"),
    ("direction", "paired", PAIRED_LOSSES, PAIRED_LOSSES.replace("-F", "F"), "losses rise as policy_chosen_logps rise"),
    ("direction", "unpaired", UNPAIRED_LOSSES, UNPAIRED_LOSSES.replace("-F", "F"), "policy_rejected_logps fall"),
    ("direction", "ranked", RANKED_LOSSES, RANKED_LOSSES[1:], "losses rise as policy_logps rise"),
    ("sides", "paired", PAIRED_LOSSES, OTHER_REFERENCE, "ref_chosen_logps moves losses as the policy's"),
    ("sides", "paired", PAIRED_LOSSES, OTHER_LENGTHS, "chosen log-probs and rejected lengths double together"),
    ("runs", "paired", "batch.policy_chosen_logps -", "batch.embeddings -", "TypeError in its line"),
    ("runs", "unpaired", UNPAIRED_LOSSES, f"{UNPAIRED_LOSSES} + 0 * chosen[0]", "IndexError"),
    ("output", "paired", PAIRED_LOSSES, f"{PAIRED_LOSSES}.mean()", "losses has shape ()"),
    ("output", "paired", RETURN, "return losses", "loss returns Tensor"),
    ("output", "paired", RETURN, LEAKY, "chosen_rewards carries gradient"),
    ("output", "paired", RETURN, RETURN.replace("detach())", "detach(), losses)"), "valid is torch.float64"),
    ("output", "unpaired", "losses, chosen.detach(),", "losses, rejected.detach(),", "chosen_rewards has shape (3,)"),
    ("finite", "unpaired", UNPAIRED_LOSSES, f"{UNPAIRED_LOSSES} + rejected.mean().detach()", "losses is nan"),
    ("finite", "ranked", "softmax(dim=-1).masked_fill(~batch.mask, 0)", "softmax(dim=-1)", "losses is nan"),
    ("finite", "ranked", RANKED_LOSSES, f"{RANKED_LOSSES} / (batch.scores.max(dim=-1).values - 7.3)", "nan"),
    ("gradient", "paired", PAIRED_LOSSES, f"{PAIRED_LOSSES}.detach()", "carry no gradient"),
    ("gradient", "paired", "- rejected))", "- rejected.detach()))", "none reaches policy_rejected_logps"),
    ("gradient", "paired", RETURN, RETURN.replace("detach())", "detach(), losses < 0)"), "valid False"),
    ("gradient", "paired", PAIRED_LOSSES, "losses = (rejected - chosen).exp()\n    losses.mul_(2)", "in backward"),
    ("inputs", "paired", "reference=True", "reference=False", "which NEEDS says is not needed"),
    ("inputs", "paired", "reference=True", 'embeddings="prompt"', "nothing follows embeddings"),
    ("inputs", "unpaired", "reference=True", "mismatched=True", "nothing follows mismatched"),
    ("pure", "paired", "logps - batch.ref_chosen_logps", "logps.sub_(batch.ref_chosen_logps)", "changed in place"),
    ("pure", "paired", PAIRED_LOSSES, f"{PAIRED_LOSSES} + __import__('torch').rand(len(chosen))", "in a second call"),
    ("permutation", "paired", PAIRED_LOSSES, f"{PAIRED_LOSSES}.cumsum(0)", "losses of the batch permuted"),
    ("independence", "paired", PAIRED_LOSSES, f"{PAIRED_LOSSES} - rejected.mean()", "losses of the batch in part"),
    ("independence", "unpaired", UNPAIRED_LOSSES, f"{UNPAIRED_LOSSES} * chosen.sum()", "losses of the batch in part"),
    ("float32", "paired", PAIRED_LOSSES, f"{PAIRED_LOSSES}.double()", "losses of torch.float64"),
    ("float32", "paired", PAIRED_LOSSES, f"{PAIRED_LOSSES} + 1e6 + chosen - 1e6", "losses differ by"),
    ("extremes", "paired", PAIRED_LOSSES, "losses = -F.sigmoid(hp.beta * (chosen - rejected)).log()", "losses is inf"),
    ("extremes", "paired", PAIRED_LOSSES, "losses = (hp.beta * (rejected - chosen)).exp()", "losses is inf"),
]  # fmt: skip


def broken(folder: Path, shape: str, old: str, new: str) -> Report:
    """What is found in a new method in which one thing is replaced."""
    text = starting_text("broken", shape)
    assert old in text
    path = folder / "broken.py"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return check_method(path)


@pytest.mark.parametrize(("rule", "shape", "old", "new", "says"), BROKEN)
def test_what_is_broken_is_found(tmp_path: Path, rule: str, shape: str, old: str, new: str, says: str) -> None:
    report = broken(tmp_path, shape, old, new)
    assert not report.is_ok
    assert report.status(rule) == "fails", report.problems
    found = [problem for problem in report.problems if problem.rule == rule]
    assert any(says in problem.found for problem in found), found
    for problem in report.problems:
        assert problem.expected and problem.next_step
        assert problem.where.startswith(str(tmp_path / "broken.py"))


def test_every_rule_is_among_the_broken_ones() -> None:
    assert {rule for rule, *_ in BROKEN} | {"reward"} == set(RULES)


@pytest.mark.parametrize(
    ("declared", "divided", "found"),
    [
        ('REWARD = "logp_per_token"', True, []),
        ("", True, ["rewards are ordered as logp_per_token, and held-out pairs would be ranked by logp"]),
        (
            'REWARD = "logp_per_token"',
            False,
            ["rewards are ordered as logp, and held-out pairs would be ranked by"],
        ),
        ("", False, []),
        ('REWARD = "logps"', True, ["REWARD is 'logps'; expected logp or logp_per_token"]),
    ],
)
def test_a_method_without_reference_names_what_its_reward_is(
    tmp_path: Path, declared: str, divided: bool, found: list[str]
) -> None:
    text = block("python", 'NAME = "my_simpo"').replace('REWARD = "logp_per_token"', declared)
    if not divided:
        text = text.replace(" / batch.chosen_lengths", "").replace(" / batch.rejected_lengths", "")
    (tmp_path / "my_simpo.py").write_text(text, encoding="utf-8")
    problems = check_method(tmp_path / "my_simpo.py").problems
    assert len(problems) == len(found)
    assert all(said in problem.found for said, problem in zip(found, problems, strict=True)), problems


def test_a_reward_that_is_no_log_prob_is_left_alone_and_one_beside_a_reference_refused(tmp_path: Path) -> None:
    text = block("python", 'NAME = "my_simpo"').replace('REWARD = "logp_per_token"', "")
    (tmp_path / "my_simpo.py").write_text(text.replace("chosen.detach()", "chosen.detach() * 0"), encoding="utf-8")
    assert check_method(tmp_path / "my_simpo.py").is_ok
    report = broken(tmp_path, "paired", "reference=True)", 'reference=True)\nREWARD = "logp"')
    assert "drop REWARD" in report.problems[0].found


def test_what_cannot_be_reached_is_not_called_ok(tmp_path: Path) -> None:
    report = broken(tmp_path, "paired", "import torch.nn.functional as F", "import torch.no_such as F")
    assert {rule for rule in RULES if report.status(rule) == "ok"} == {"header", "docstrings", "length"}
    report = broken(tmp_path, "paired", PAIRED_LOSSES, "raise ValueError('no')")
    assert {report.status(rule) for rule in list(RULES)[list(RULES).index("runs") + 1 :]} == {"not reached"}


def test_a_choice_that_is_not_the_default_is_tried_too(tmp_path: Path) -> None:
    report = broken(tmp_path, "paired", BETA, f'{BETA}    kind: Literal["a", "b"] = "a"\n    """Which."""\n')
    assert report.status("import") == "fails"  # Literal is not imported
    text = (tmp_path / "broken.py").read_text(encoding="utf-8").replace("import Annotated", "import Annotated, Literal")
    (tmp_path / "broken.py").write_text(text, encoding="utf-8")
    assert check_method(tmp_path / "broken.py").is_ok
    wrong = text.replace("    return", '    losses = losses / (0 if hp.kind == "b" else 1)\n    return')
    (tmp_path / "broken.py").write_text(wrong, encoding="utf-8")
    (problem, *_) = check_method(tmp_path / "broken.py").problems
    assert problem.rule == "finite"
    assert "kind=b" in problem.where


@pytest.mark.parametrize("name", method_names())
def test_every_shipped_method_passes(name: str) -> None:
    if name == "rpo_ot" and importlib.util.find_spec("ot") is None:
        pytest.skip("POT is not installed: pip install POT")
    report = check_method(ROOT / "methods" / f"{name}.py")
    assert report.is_ok, report.problems
    assert not report.not_reached


def test_the_method_of_the_readme_passes(tmp_path: Path) -> None:
    path = tmp_path / "my_simpo.py"
    path.write_text(block("python", 'NAME = "my_simpo"'), encoding="utf-8")
    assert check_method(path).is_ok


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rpo_paird\.py is no Python file.* Did you mean methods/rpo_paired\.py\?"):
        check_method(tmp_path / "rpo_paird.py")


def test_a_method_may_be_named_alone() -> None:
    assert check_method(Path("dpo")).file == "methods/dpo.py"


def test_new_methods_pass_the_check(checkout: Checkout) -> None:
    for shape in STARTS:
        done = checkout.prefrepro("new-method", f"my_{shape}", "--shape", shape)
        assert done.returncode == 0, done.stderr
        for hint in (f"wrote methods/my_{shape}.py", f"prefrepro check methods/my_{shape}.py", f"method: my_{shape}"):
            assert hint in done.stdout
    files = [f"methods/my_{shape}.py" for shape in STARTS]
    done = checkout.prefrepro("check", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        *(f"ok    {file}" for file in files),
        "3 of 3 meet the contract (methods/contract.py).",
    ]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("dpo", "methods/dpo.py exists already and stays as it is"),
        ("contract", "methods/contract.py exists already"),
        ("My-DPO", "Did you mean my_dpo?"),
        ("2dpo", "is no name for a method"),
        ("lambda", "is no name for a method"),
        ("../dpo", "is no name for a method"),
    ],
)
def test_a_name_that_cannot_be_is_refused(checkout: Checkout, name: str, says: str) -> None:
    before = {path: path.read_bytes() for path in (checkout.root / "methods").glob("*.py")}
    done = checkout.prefrepro("new-method", name, "--shape", "paired")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert {path: path.read_bytes() for path in (checkout.root / "methods").glob("*.py")} == before


def test_what_the_command_prints(checkout: Checkout) -> None:
    checkout.edit("methods/dpo.py", "losses = -F.logsigmoid(", "losses = -F.sigmoid(")
    checkout.edit("methods/dpo.py", "(chosen - rejected))", "(chosen - rejected)).log().mean()")
    done = checkout.prefrepro("check", "methods/dpo.py", "methods/ipo.py")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("FAILS methods/dpo.py\n      ok          header ")
    assert "      FAILS       output " in done.stdout
    assert "          found     losses has shape ()\n          expected  (4,)\n" in done.stdout
    assert "          where     methods/dpo.py, line 21, loss, with 4 pairs\n          next      " in done.stdout
    assert done.stdout.endswith("ok    methods/ipo.py\n1 of 2 meet the contract (methods/contract.py).\n")

    done = checkout.prefrepro("check", "methods/dpo.py", "--json")
    assert done.returncode == 1
    (report,) = json.loads(done.stdout)
    assert (report["file"], report["ok"]) == ("methods/dpo.py", False)
    status = {rule["rule"]: rule["status"] for rule in report["rules"]}
    assert status["header"] == "ok"
    assert status["output"] == "fails"
    assert status["permutation"] == "not reached"
