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


def smallest_significant(rate: float, n: int) -> tuple[float | None, float | None]:
    """Points above, and below, a rate from which on p < 0.05; None where no rate up to 100, or down to 0, is so far.

    By `p_value`, whose pooled variance is that of the middle of the two: the roots d of n·d² = 2z²·m(1 - m) with
    m = p + d/2. At 95 % of 256: 3.15 up, 4.49 down; at 100 %: 1.49 down.
    """
    p, z2 = rate / 100, float(norm.ppf(1 - ALPHA / 2)) ** 2
    a, b, c = n + z2 / 2, z2 * (2 * p - 1), -2 * z2 * p * (1 - p)
    root = (b * b - 4 * a * c) ** 0.5
    up, down = (-b + root) / (2 * a), (b + root) / (2 * a)
    return (100 * up if 0 < up <= 1 - p else None), (100 * down if 0 < down <= p else None)


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


def prompts_for_equivalence(rate: float, margin: float, correlation: float) -> int:
    """Prompts that show, with 80 % power, that two equal rows lie within ± margin points (two one-sided tests, 5 %).

    Paired wins that correlate by φ: n = (z₀.₉₅ + z₀.₉)² · 2p(1 - p)(1 - φ) / margin². At 70 % and ± 5: 1,180 at
    φ = 0.18, 834 at 0.42.
    """
    z = float(norm.ppf(1 - ALPHA) + norm.ppf((1 + POWER) / 2))
    return round(z**2 * 2 * rate * (100 - rate) * (1 - correlation) / margin**2)
