"""Win rates by the package's metrics, and an interval for the length-controlled one.

The package's own standard error is that of fitted values, half of what resampling prompts gives
(docs/judging.md#length-control).

Length control fits P(win) by logistic regression on the length difference, the instruction's difficulty and a
constant, and predicts it at no difference. Where no difficulty was published for the instructions, the package's
own smaller model `length_controlled_minimal` is fitted: length difference and constant, without gamed baselines.
Its regularisation is the package's default and not chosen by cross-validation: at about 100 instructions a fold
may hold no win at all, and liblinear then turns the sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prefrepro.judge.alpaca.package import quiet

REPLICATES = 200
DEFAULT_C = 100.0
"""The package's strength of regularisation where it is not chosen (glm_winrate.py:303)."""
Values = NDArray[np.float64]


class LengthControlled(NamedTuple):
    """A length-controlled win rate in percent; None where there is no telling, with the reason."""

    value: float | None
    replicates: list[float]
    """Refits on resampled instructions; two calls with the same n resample the same positions."""
    reason: str = ""


def length_controlled(
    preferences: Sequence[float | None],
    reference_lengths: Sequence[int],
    candidate_lengths: Sequence[int],
    numbers: Sequence[int],
    gamed: pd.DataFrame | None,
    replicates: int = REPLICATES,
) -> LengthControlled:
    """The length-controlled win rate of one draw, lengths in characters.

    `numbers` are the instructions' positions among the published ones, for the difficulty in `gamed`; without
    `gamed` they are not looked at. A replicate keeps the instruction's difficulty, the gamed rows and the strength
    of regularisation, and scales the lengths anew; choosing that strength again changes the standard error by less
    than 1 % and takes 15 times as long.
    """
    won = pd.Series(list(preferences), dtype=float).replace({0.0: 1.5}).to_numpy() - 1
    delta = np.asarray(reference_lengths, dtype=float) - np.asarray(candidate_lengths, dtype=float)
    if len(won) and not delta.any() and (won == 0.5).all():
        return LengthControlled(50.0, [50.0] * replicates)  # the reference against itself: 50 by definition
    if len(won) < 2 or not delta.std() or np.isnan(won).all():
        return LengthControlled(None, [], "all pairs differ alike in length, so its effect cannot be told from skill")
    import sklearn

    with quiet(), sklearn.config_context():  # the package sets an option of sklearn for good
        model = _Model(won, delta, numbers, gamed)
        value = model.fit()
        draws = np.random.default_rng(len(won)).integers(0, len(won), size=(replicates, len(won)))
        return LengthControlled(value, [model.refit(draw) for draw in draws])


class _Model:
    """The package's regression, fitted once by the package, then again and again on resampled rows."""

    def __init__(self, won: Values, delta: Values, numbers: Sequence[int], gamed: pd.DataFrame | None) -> None:
        from alpaca_eval.metrics import glm_winrate

        name = "length_controlled_minimal" if gamed is None else "length_controlled_v1"
        info: dict[str, Any] = glm_winrate.GLM_INFO[name]
        own = pd.DataFrame({"preference": won, "std_delta_len": delta / delta.std(ddof=1), "not_gamed_baseline": True})
        self._weight, self._fixed = np.ones(len(own)), 0
        train, self._kwargs = own, {"n_splits": 0, "C": DEFAULT_C}
        if gamed is not None:
            difficulty = gamed.drop_duplicates("index").set_index("index")["instruction_difficulty"]
            own["instruction_difficulty"] = difficulty.loc[list(numbers)].to_numpy()
            train, self._kwargs = pd.concat([gamed, own], ignore_index=True), info["kwargs"]
            # Half of it because there are two gamed baselines (glm_winrate.py:257).
            each = info["regularize_to_baseline_lambda"] / 2
            self._weight, self._fixed = np.r_[np.full(len(gamed), each), self._weight], len(gamed)
        level = own.assign(std_delta_len=0.0)
        self._design, test = glm_winrate.make_dmatrix_for_model(train, level, info["formula"])
        self._features = self._design.drop(columns="preference").to_numpy()
        self._labels = self._design["preference"].to_numpy()
        self._test, self._won, self._delta, self._c = test.to_numpy(), won, delta, DEFAULT_C

    def fit(self) -> float:
        """The package's value in percent."""
        from alpaca_eval.metrics.glm_winrate import fit_LogisticRegressionCV

        if (only := self._only_value(self._won)) is not None:
            return only
        known = self._design["preference"].notna().to_numpy()
        model = fit_LogisticRegressionCV(
            self._design[known], "preference", sample_weight=self._weight[known], **self._kwargs
        )
        self._c = float(getattr(model, "C_", [DEFAULT_C])[0])  # cross-validated where gamed rows steady the folds
        return 100 * float(model.predict_proba(self._test)[:, 1].mean())

    def refit(self, draw: NDArray[np.int64]) -> float:
        """The value of the drawn rows: the fit that glm_winrate.py:303-356 ends with, at the strength of `fit`."""
        from sklearn.linear_model import LogisticRegression

        if (only := self._only_value(self._won[draw])) is not None:
            return only
        own = self._features[self._fixed :][draw]
        delta = self._delta[draw]
        own[:, 0] = np.tanh(delta / (delta.std(ddof=1) or 1.0))
        features = np.r_[self._features[: self._fixed], own]
        won = np.r_[self._labels[: self._fixed], self._won[draw]]
        known = ~np.isnan(won)
        features, won, weight = features[known], won[known], self._weight[known]
        model = LogisticRegression(
            C=self._c, penalty="l1", solver="liblinear", fit_intercept=False, random_state=123
        ).fit(
            np.r_[features, features],
            np.r_[np.ones(len(won)), np.zeros(len(won))],
            sample_weight=np.r_[won * weight, (1 - won) * weight],
        )
        return 100 * float(model.predict_proba(self._test[draw])[:, 1].mean())

    def _only_value(self, won: Values) -> float | None:
        """0 or 100 where nothing else happened: one class alone cannot be fitted."""
        valid = won[~np.isnan(won)]
        alike = not self._fixed and len(valid) and valid[0] in (0, 1) and (valid == valid[0]).all()
        return 100 * float(valid[0]) if alike else None
