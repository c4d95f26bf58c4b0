"""The last part of docs/costs.md: the forecast of the papers' tables at the papers' scale."""

from __future__ import annotations

from prefrepro.inspect.forecast.lines import forecast
from prefrepro.inspect.forecast.report import as_text
from prefrepro.plan.build import make_plan

JUDGE = "openai"


def cost_table() -> str:
    """Markdown."""
    plan = make_plan({"scale": "paper", "judge": JUDGE})
    return f"## All printed tables at the papers' scale\n\n{as_text(forecast(plan, plan.printed), 'pipe')}"
