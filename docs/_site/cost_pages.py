"""The page of costs: the forecast of the papers' tables at the papers' scale."""

from __future__ import annotations

from prefrepro.inspect.forecast.lines import forecast
from prefrepro.inspect.forecast.report import as_text
from prefrepro.plan.build import make_plan

JUDGE = "openai"
INTRO = """# Costs

Before anything starts, `prefrepro forecast` says what is still to do: trainings, answers, hours, judge calls, tokens
and USD.

```bash
prefrepro forecast table4 scale=paper judge=openai
snakemake table4 --config scale=paper judge=openai budget_usd=10   # refused before the first job, if it costs more
```

Three rules keep a bill small:

- `budget_usd` is the most that judging may cost. It refuses before the first job, and later stops before the call that
  would exceed it.
- Every judge's reply is kept, one by one. A verdict is never paid twice, by whatever table or after whatever crash.
- A job that several tables share is done once: «together» is less than the sum.

Where jobs of the same kind were run before, hours are what those took; else the scale's file says whether its rates
were measured or are arithmetic. What is not known is called unknown, never 0. For small models on one 24 GB GPU, see
[the pocket scale](pocket.md).

## All printed tables at the papers' scale
"""


def cost_pages() -> dict[str, str]:
    """Path -> Markdown."""
    plan = make_plan({"scale": "paper", "judge": JUDGE})
    return {"costs.md": f"{INTRO}\n{as_text(forecast(plan, plan.printed), 'pipe')}"}
