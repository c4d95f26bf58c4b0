"""The kinds of nodes that a plan is made of. All that is said of a kind as such stands here, once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """What is the same for all nodes of one kind."""

    name: str
    """What a spec, a record and `resources` of a scale call it."""
    title: str
    """What a person reads."""
    rule: str
    """The rule in workflow/rules, which also names the folders of logs and benchmarks."""
    folder: str
    """Below results/<scale>/; each node has its own folder in it."""
    done: str
    """The file of a node's folder that is written last."""
    work: str
    """module:function that does the work: (spec, inputs, out, runtime)."""
    code: str
    """The module whose code, with all that it imports, can move a number: what code_digest.py reads."""
    is_training: bool = False
    """Trains a model on all devices that it is given, and leaves it in its folder."""


def _training(name: str, title: str, rule: str, folder: str = "runs", function: str = "align") -> Kind:
    work, code = f"prefrepro.train.run:{function}", f"prefrepro.model.{function}"
    return Kind(name, title, rule, folder, "run.json", work, code, is_training=True)


def _shared(name: str, title: str) -> Kind:
    """What several trainings use and what is made once for all of them."""
    return Kind(name, title, name, name, "manifest.json", f"prefrepro.train.shared:{name}", f"prefrepro.model.{name}")


KINDS = {
    kind.name: kind
    for kind in (
        Kind("data", "data", "data", "data", "manifest.json", "prefrepro.data.build:build", "prefrepro.data.build"),
        _shared("package", "weights from a package"),
        _training("base", "base model", "base", "base", "pretrain"),
        _training("sft", "SFT", "sft"),
        _training("run", "run", "align"),
        _training("reward_model", "reward model", "reward_model"),
        _shared("reference", "reference log-probs"),
        _shared("embeddings", "embeddings"),
        _shared("reference_rewards", "reference rewards"),
        Kind(
            "sample", "samples", "sample", "samples", "manifest.json", "prefrepro.sample.generate:run",
            "prefrepro.sample.answers",
        ),
        Kind(
            "import", "samples (imported)", "sample", "samples", "manifest.json", "prefrepro.sample.outputs:run",
            "prefrepro.sample.outputs",
        ),
        Kind(
            "verdict", "verdicts", "judge", "verdicts", "manifest.json", "prefrepro.judge.stage:run",
            "prefrepro.judge.stage",
        ),
        Kind(
            "preference", "held-out preferences", "preference", "verdicts", "manifest.json",
            "prefrepro.judge.preference:run", "prefrepro.judge.preference",
        ),
        _shared("distance", "distance from the reference"),
        Kind("table", "table", "table", "tables", "", "prefrepro.tables.build:run", "prefrepro.tables.build"),
    )
}  # fmt: skip
"""In the order of the work."""

VERDICTS = tuple(name for name, kind in KINDS.items() if kind.folder == "verdicts")
"""What gives the verdicts that tables count."""
TRAININGS = tuple(name for name, kind in KINDS.items() if kind.is_training)
