"""What a difference between two printed percentages can show, when nothing but the two and n is known.

Independent binomials: what was printed says nothing of pairs. A paired test on the verdicts themselves would want
about 0.6 of the prompts (docs/judging.md#order-and-ties). Rates in percent.
"""

from __future__ import annotations

from scipy.stats import norm
from statsmodels.stats.power import zt_ind_solve_power
from statsmodels.stats.proportion import proportions_ztest

from prefrepro.stats.intervals import ALPHA

POWER = 0.8


def p_value(first: float, second: float, n: int) -> float:
    """Two-sided two-proportion z test with the pooled variance; 78.52 and 72.26 of 256: z = 1.644, p = 0.100."""
    if first == second:
        return 1.0
    return float(proportions_ztest([first / 100 * n, second / 100 * n], [n, n])[1])


def smallest_significant(rate: float, n: int) -> float:
    """Points that two rates near `rate` must differ by for p < 0.05; at 70 % of 256: 1.96 · √2 · 2.864 = 7.9."""
    return float(norm.ppf(1 - ALPHA / 2)) * (2 * rate * (100 - rate) / n) ** 0.5


def detectable(rate: float, n: int) -> float:
    """Points that are found significant with 80 % power; at 70 % of 256: 11.3."""
    effect = zt_ind_solve_power(nobs1=n, alpha=ALPHA, power=POWER)
    return float(effect) * (rate * (100 - rate)) ** 0.5


def prompts_needed(first: float, second: float) -> int | None:
    """Prompts per row for 80 % power to tell the two apart; 78.52 and 72.26: 739. None where they are equal."""
    if first == second:
        return None
    variance = (first * (100 - first) + second * (100 - second)) / 2
    return round(float(zt_ind_solve_power(effect_size=abs(first - second) / variance**0.5, alpha=ALPHA, power=POWER)))
