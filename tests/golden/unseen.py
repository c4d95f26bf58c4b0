"""Golden cases of other seeds and shapes than the shipped ones, recomputed apart from our code, from torch and numpy.

Each loss is written out in mpmath at 40 digits, one number at a time; gradients are differences over 1e-15, exact to
1e-25. M ≠ N, single pairs, K from 2 to 6, log-ratios of ±1e3, tied and level scores.

As a command, `python tests/golden/unseen.py SEED FILE.json`; then `pytest tests/golden --golden FILE.json`.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mpmath import exp, log, mp, mpf, sqrt

mp.dps = 40
STEP = mpf(10) ** -15
Number = Any
"""mpmath's, which has no types"""
Numbers = Sequence[Number]
Losses = Callable[[Numbers, Numbers], list[Number]]
"""Log-ratios of the chosen and of the rejected responses, to losses"""


def log_sigmoid(z: Number) -> Number:
    return -log(1 + exp(-z)) if z > 0 else z - log(1 + exp(z))


def sigmoid(z: Number) -> Number:
    return exp(log_sigmoid(z))


def log_sum_exp(values: Numbers) -> Number:
    return max(values) + log(sum(exp(value - max(values)) for value in values))


def mean(values: Numbers) -> Number:
    return sum(values) / len(values)


def cosine(a: Numbers, b: Numbers) -> Number:
    a, b = [mpf(x) for x in a], [mpf(y) for y in b]
    return sum(x * y for x, y in zip(a, b, strict=True)) / sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def weights(rows: Sequence[Numbers], columns: Sequence[Numbers], tau: float, is_literal: bool = False) -> list[Numbers]:
    """RPO's Eq. 10 and 11, with d = 1 − cos, or literally d = cos."""
    found = []
    for row in rows:
        cosines = [cosine(row, column) for column in columns]
        shares = [exp(-(c if is_literal else 1 - c) / mpf(tau)) for c in cosines]
        found.append([share / sum(shares) for share in shares])
    return found


def contrast(w: Sequence[Numbers], beta: Number) -> Losses:
    """RPO's Eq. 12: the mean over j of −logσ(β w_ij (c_i − r_j))."""
    return lambda c, r: [
        mean([-log_sigmoid(beta * w[i][j] * (c[i] - r[j])) for j in range(len(r))]) for i in range(len(c))
    ]


def pairwise(loss: Callable[[Number], Number]) -> Losses:
    """Of the margin of each pair."""
    return lambda c, r: [loss(x - y) for x, y in zip(c, r, strict=True)]


def apart(of_chosen: Callable[[Number], Number], of_rejected: Callable[[Number], Number]) -> Losses:
    """Of each response alone."""
    return lambda c, r: [of_chosen(x) for x in c] + [of_rejected(y) for y in r]


def differences(value: Callable[[list[Number]], Number], at: list[Number]) -> list[Number]:
    """The gradient of `value`."""
    found = []
    for place in range(len(at)):
        up, down = list(at), list(at)
        up[place], down[place] = at[place] + STEP, at[place] - STEP
        found.append((value(up) - value(down)) / (2 * STEP))
    return found


def plain(value: Any) -> Any:
    """Numbers of 40 digits as floats."""
    return [plain(item) for item in value] if isinstance(value, list | tuple) else float(value)


class Unseen:
    """Cases of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.cases: list[dict[str, Any]] = []

    def add(self, op: str, params: dict[str, Any], inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        self.cases.append({
            "id": f"unseen/{op}/s{self.seed}-{len(self.cases)}", "op": op, "params": params, "inputs": inputs,
            "outputs": {name: plain(value) for name, value in outputs.items()},
            "tol": {"atol": 1e-7 if op == "ipo" else 1e-10, "rtol": 1e-10},
        })  # fmt: skip

    def normal(self, n: int, size: float = 1.0) -> list[float]:
        return [self.random.gauss(0, size) for _ in range(n)]

    def policy(self, reference: list[float], is_extreme: bool) -> list[float]:
        """Log-ratios around 10 nats, or within one of ±1e3 and 0."""
        if is_extreme:
            return [x + self.random.choice([1e3, -1e3, 0.0]) + self.random.uniform(-1, 1) for x in reference]
        return [x + y for x, y in zip(reference, self.normal(len(reference), 10), strict=True)]

    def two_sides(
        self, op: str, params: dict[str, Any], given: dict[str, Any], losses: Losses, more: dict[str, Any] | None = None
    ) -> None:
        """Losses, their mean and its gradient. `given` holds the log-probs of four sides, and what else is input."""
        names = ("policy_chosen_logps", "policy_rejected_logps", "reference_chosen_logps", "reference_rejected_logps")
        chosen, rejected, ref_chosen, ref_rejected = ([mpf(x) for x in given[name]] for name in names)
        m = len(chosen)

        def of(policy: list[Number]) -> list[Number]:
            ratios = [x - y for x, y in zip(policy, ref_chosen + ref_rejected, strict=True)]
            return losses(ratios[:m], ratios[m:])

        gradient = differences(lambda policy: mean(of(policy)), chosen + rejected)
        found = of(chosen + rejected)
        outputs = {"losses": found, "loss": mean(found)} | (more or {})
        outputs |= {"grad_policy_chosen_logps": gradient[:m], "grad_policy_rejected_logps": gradient[m:]}
        self.add(op, params, given, outputs)

    def sides(self, m: int, n: int, is_extreme: bool) -> dict[str, Any]:
        ref = [[-200 + x for x in self.normal(size, 50)] for size in (m, n)]
        policy = [self.policy(side, is_extreme) for side in ref]
        return {
            "policy_chosen_logps": policy[0], "policy_rejected_logps": policy[1],
            "reference_chosen_logps": ref[0], "reference_rejected_logps": ref[1],
        }  # fmt: skip

    def pairs(self, n: int, beta: float, is_extreme: bool) -> None:
        b, given, rng = mpf(beta), self.sides(n, n, is_extreme), self.random
        self.two_sides("dpo", {"beta": beta}, given, pairwise(lambda z: -log_sigmoid(b * z)))
        smoothing = rng.uniform(0.05, 0.4)
        s = mpf(smoothing)
        params = {"beta": beta, "label_smoothing": smoothing}
        of_both = pairwise(lambda z: -(1 - s) * log_sigmoid(b * z) - s * log_sigmoid(-b * z))
        self.two_sides("cdpo", params, given, of_both)
        self.two_sides("ipo", {"beta": beta}, given, pairwise(lambda z: (z - 1 / (2 * b)) ** 2))
        self.two_sides(
            "nca_pair", {"beta": beta}, given,
            lambda c, r: [
                -log_sigmoid(b * x) - log_sigmoid(-b * x) / 2 - log_sigmoid(-b * y) / 2
                for x, y in zip(c, r, strict=True)
            ],
        )  # fmt: skip
        self.two_sides("rpo_uniform_code", {"beta": beta}, given, contrast([[mpf(1)] * n] * n, b))
        self.two_sides("rpo_uniform_paper", {"beta": beta}, given, contrast([[mpf(1) / n] * n] * n, b))
        alpha = rng.uniform(0.1, 0.9)
        a = mpf(alpha)
        emphasis = [[a if i == j else (1 - a) / max(n - 1, 1) for j in range(n)] for i in range(n)]
        self.two_sides("rpo_diagonal_paper", {"beta": beta, "alpha": alpha}, given, contrast(emphasis, b))
        if n > 1:

            def outside(c: Numbers, r: Numbers) -> list[Number]:
                terms = [[-log_sigmoid(b * (x - y)) for y in r] for x in c]
                return [a * t[i] + (1 - a) * (sum(t) - t[i]) / (n - 1) for i, t in enumerate(terms)]

            self.two_sides("rpo_diagonal_code", {"beta": beta, "alpha": alpha}, given, outside)
        tau = rng.choice([0.1, 0.6, 3.0])
        width = rng.choice([3, 20])
        vectors = [self.normal(width) for _ in range(n)]
        for op in ("rpo_paired", "rpo_eq10_literal"):
            w = weights(vectors, vectors, tau, op == "rpo_eq10_literal")
            more, inputs = {"weights": w}, given | {"prompt_embeddings": vectors}
            self.two_sides(op, {"beta": beta, "tau": tau}, inputs, contrast(w, b), more)

    def responses(self, m: int, n: int, beta: float, is_extreme: bool) -> None:
        b, given, rng = mpf(beta), self.sides(m, n, is_extreme), self.random
        tau, is_chosen = rng.choice([0.2, 0.75]), [True] * m + [False] * n
        rng.shuffle(is_chosen)
        vectors = [self.normal(5) for _ in is_chosen]
        rows, columns = ([v for v, flag in zip(vectors, is_chosen, strict=True) if flag == side] for side in (1, 0))
        w, params = weights(rows, columns, tau), {"beta": beta, "tau": tau}
        inputs = given | {"batch_embeddings": vectors, "batch_is_chosen": is_chosen}
        self.two_sides("rpo_unpaired", params, inputs, contrast(w, b), {"weights": w})
        inputs = given | {"chosen_embeddings": rows, "rejected_embeddings": columns}
        self.two_sides("rpo_integrated", params, inputs, contrast(w, b))
        for op, ranks in (("kto", 1), ("kto_rpo_as_run_ws8", 8)):
            ref = [-200 + x for x in self.normal(m + n, 30)]
            policy = [x + rng.choice([4, -4]) + y for x, y in zip(ref, self.normal(m + n), strict=True)]
            kl = max(mean([mpf(x) - mpf(y) for x, y in zip(policy, ref, strict=True)]), mpf(0)) / ranks
            up, down = rng.choice([(1.0, 1.0), (1.33, 0.7)])
            params = {"beta": beta, "desirable_weight": up, "undesirable_weight": down}
            inputs = given | {"policy_KL_logps": policy, "reference_KL_logps": ref}
            losses = apart(
                lambda x, kl=kl, up=up: up * (1 - sigmoid(b * (x - kl))),
                lambda y, kl=kl, down=down: down * (1 - sigmoid(b * (kl - y))),
            )
            self.two_sides(op, params | {"world_size": ranks}, inputs, losses, {"KL": kl})

        def each_others_point(c: Numbers, r: Numbers) -> list[Number]:
            of_chosen, of_rejected = max(mean(c), mpf(0)), max(mean(r), mpf(0))
            return [1 - sigmoid(b * (x - of_rejected)) for x in c] + [1 - sigmoid(b * (of_chosen - y)) for y in r]

        self.two_sides("kto_simple", {"beta": beta}, given, each_others_point)
        self.two_sides("kto_zero", {"beta": beta}, given, apart(lambda x: 1 - sigmoid(b * x), lambda y: sigmoid(b * y)))
        delta = rng.uniform(-0.5, 0.5)
        d = mpf(delta)
        losses = apart(lambda x: -log_sigmoid(b * x - d), lambda y: -log_sigmoid(d - b * y))
        self.two_sides("bco", {"beta": beta, "delta": delta}, given, losses)

    def groups(self, b: int, k: int, beta: float, is_extreme: bool) -> None:
        ref = [[-200 + x for x in self.normal(k, 50)] for _ in range(b)]
        policy = [self.policy(row, is_extreme) for row in ref]
        scores = [sorted((float(self.random.randint(0, 10)) for _ in range(k)), reverse=True) for _ in range(b)]
        if b > 2:
            scores[1] = [6.5] * k
        given = {"policy_logps": policy, "reference_logps": ref, "rewards": scores}
        flat, level = [mpf(x) for row in policy for x in row], [mpf(x) for row in ref for x in row]

        def rewards(at: Numbers) -> list[list[Number]]:
            return [[mpf(beta) * (at[r * k + c] - level[r * k + c]) for c in range(k)] for r in range(b)]

        def add(op: str, params: dict, of: Callable[[Numbers], list[Number]], n: int, more: dict) -> None:
            gradient = differences(lambda at: sum(of(at)) / n, flat)
            rows = [gradient[r * k : (r + 1) * k] for r in range(b)]
            self.add(
                op, params, given, more | {"losses": of(flat), "loss": sum(of(flat)) / n, "grad_policy_logps": rows}
            )

        temperature = self.random.choice([1e-4, 0.3, 2.0])
        labels = []
        for row in scores:
            lifted = [(mpf(x) + (mpf(0.01) if c == 0 else 0)) / mpf(temperature) for c, x in enumerate(row)]
            labels.append([exp(x - log_sum_exp(lifted)) for x in lifted])
        params = {"beta": beta, "temperature_alpha": temperature, "bonus_on_A0": 0.01}

        def infonca(at: Numbers) -> list[Number]:
            rows = zip(labels, rewards(at), strict=True)
            return [-sum(t * (z - log_sum_exp(zs)) for t, z in zip(ts, zs, strict=True)) for ts, zs in rows]

        def nca(at: Numbers) -> list[Number]:
            rows = list(zip(labels, rewards(at), strict=True))
            noise = [-mean([log_sigmoid(-z) for z in zs]) for _, zs in rows]
            data = [-sum(t * log_sigmoid(z) for t, z in zip(ts, zs, strict=True)) for ts, zs in rows]
            return [x + y for x, y in zip(noise, data, strict=True)]

        add("infonca", params, infonca, b, {"soft_labels": labels})
        add("nca", params, nca, b, {"soft_labels": labels})
        for params in ({"weight": "power", "p": 0}, {"weight": "power", "p": 1}, {"weight": "power", "p": 2},
                       {"weight": "exp", "alpha": 0.7}):  # fmt: skip
            for group in ("k1_vs_k2", "1_vs_k"):
                sides = [self._swepo_sides(row, params, group) for row in scores]

                def swepo(at: Numbers, sides: list = sides) -> list[Number]:
                    found = []
                    for side, zs in zip(sides, rewards(at), strict=True):
                        weighted = [(z + log(w), is_up) for z, (w, is_up) in zip(zs, side, strict=True) if w]
                        up = [z for z, is_up in weighted if is_up]
                        found.append(log_sum_exp([z for z, _ in weighted]) - log_sum_exp(up) if up else mpf(0))
                    return found

                n_positive = [sum(is_up for _, is_up in side) for side in sides]
                valid = [n > 0 for n in n_positive]
                more = {"n_positive": n_positive, "valid": valid}
                add("swepo", {"beta": beta, "group": group, **params}, swepo, max(sum(valid), 1), more)

    def _swepo_sides(self, row: list[float], params: dict[str, Any], group: str) -> list[tuple[Number, bool]]:
        """Weight of each response, and whether it is a positive."""
        scores = [mpf(score) for score in row]
        deviations = [score - mean(scores) for score in scores]
        deviations = [mpf(0) if abs(deviation) < mpf(10) ** -20 else deviation for deviation in deviations]
        positive = [deviation > 0 for deviation in deviations]
        if group == "1_vs_k" and any(positive):
            positive = [place == row.index(max(row)) for place in range(len(row))]
        if params["weight"] == "exp":
            return [(exp(mpf(params["alpha"]) * abs(d)), up) for d, up in zip(deviations, positive, strict=True)]
        p = params["p"]
        return [(abs(d) ** p if p else mpf(1), up) for d, up in zip(deviations, positive, strict=True)]


def unseen_cases(seed: int) -> list[dict[str, Any]]:
    """Cases in the schema of golden_public.json."""
    unseen = Unseen(seed)
    for is_extreme in (False, True):
        for n, beta in ((1, 0.1), (3, 0.9), (7, 0.03)):
            unseen.pairs(n, beta, is_extreme)
        for m, n, beta in ((1, 1, 0.1), (1, 5, 0.5), (5, 1, 0.05), (3, 7, 0.1)):
            unseen.responses(m, n, beta, is_extreme)
        for b, k, beta in ((1, 2, 0.1), (4, 3, 0.01), (3, 6, 0.2)):
            unseen.groups(b, k, beta, is_extreme)
    return unseen.cases


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps({"cases": unseen_cases(int(sys.argv[1]))}), encoding="utf-8")
