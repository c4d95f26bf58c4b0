"""Which parts of a data set are kept from training: those that a node of the plan uses, and no others.

The papers train on their data in full. Held-out reward accuracy alone, which stands in no table, holds nothing back.
"""

from __future__ import annotations

import contextlib
from typing import Any

from prefrepro.errors import UserError
from prefrepro.plan.evaluation import Expander
from prefrepro.plan.plan import Plan
from prefrepro.specs.evaluation import PREFERENCE
from prefrepro.specs.paper import read_paper
from prefrepro.specs.readings import reading_of
from prefrepro.specs.sources import read_named
from prefrepro.specs.table import read_table, table_files


def parts_in_use(plan: Plan) -> dict[str, set[str]]:
    """Data set, as tables call it -> `eval` where its own prompts are answered, `judge` where a reward model trained
    on that part judges, and the part whose pairs are ranked; of all tables at the plan's scale. Planning tells what is
    wrong with a table."""
    used: dict[str, set[str]] = {}
    for path in table_files():
        with contextlib.suppress(UserError):
            table = read_table(path)
            if not table.is_made_at(plan.config.scale, plan.scale):
                continue
            paper = read_paper(path.parent / "paper.yaml")
            expander = Expander(plan, table, paper, reading_of(paper, plan.config))
            for column in table.columns:
                parts, evaluation = used.setdefault(column.dataset, set()), expander.evaluation(column)
                if evaluation["evaluation"] == PREFERENCE:
                    parts.add(evaluation["part"])
                    continue
                if not evaluation.get("prompts"):
                    parts.add("eval")
                judge: dict[str, Any] = read_named("judges", expander.judge_name(column), expander.where)
                if judge.get("scorer") == "reward-model":
                    parts |= {"judge", "eval"}  # on `eval` its accuracy is measured
    return used
