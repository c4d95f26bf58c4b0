"""What a training's curves show that a healthy one's do not: docs/log-probs.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

FALL = 0.5
"""How far the chosen log-prob may fall, as a share of its first value: healthy rows of the embedded world fell by 0.03
to 0.22 of it."""
PART = 4
"""The last quarter of what was logged stands for the end."""


def signs(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """One sentence for each sign of trouble in the rows of a metrics.csv; none where nothing is odd."""
    found = []
    values = {name: [float(row[name]) for row in rows if row.get(name)] for name in (rows[0] if rows else ())}
    end = {name: mean(each[-max(1, len(each) // PART) :]) for name, each in values.items() if each}
    if end.get("rewards/margins", 1.0) <= 0:
        found.append(
            f"The reward margin ends at {end['rewards/margins']:.3g}: chosen responses gain nothing on rejected ones. "
            "Either nothing is learnt (learning rate, steps), or the sides are exchanged."
        )
    if "loss" in end and end["loss"] > values["loss"][0]:
        found.append(
            f"The loss ends at {end['loss']:.3g}, above its start of {values['loss'][0]:.3g}: lower the learning rate."
        )
    chosen = values.get("logps/chosen", [])
    if chosen and chosen[0] < 0 and chosen[0] - end["logps/chosen"] > FALL * -chosen[0]:
        found.append(
            f"The chosen log-prob fell from {chosen[0]:.1f} to {end['logps/chosen']:.1f} nats. A fall is usual, one of "
            "more than half is not: read samples, and compare a lower learning rate or a higher β at equal KL."
        )
    return found
