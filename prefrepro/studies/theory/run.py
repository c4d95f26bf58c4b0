"""All checks, one CSV, one page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prefrepro.csv_schema.schema import write_csv
from prefrepro.studies.theory import bias, flow, gradients, plot, trajectory, weighted
from prefrepro.studies.theory.claims import SCHEMA, Claim, to_frame

SEED = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that claims and plots are made of."""

    of_infonca: gradients.Gradients
    of_swepo: gradients.Gradients
    rest: flow.Rest
    trajectories: list[trajectory.Trajectory]
    biases: list[bias.Bias]

    def claims(self, seed: int = SEED) -> list[Claim]:
        return [
            *bias.claims(self.biases, seed),
            *gradients.claims(self.of_infonca, self.of_swepo, seed),
            *flow.claims(self.rest),
            *trajectory.claims(self.trajectories),
            *weighted.claims(seed),
        ]


def measure(seed: int = SEED) -> Measured:
    """Every measurement, from one seed; the same numbers each time on one machine."""
    return Measured(
        gradients.infonca_gradients(seed),
        gradients.swepo_gradients(seed),
        flow.measure(seed),
        [trajectory.run(groups) for groups in trajectory.CASES],
        [bias.simulate(attribute, seed + n) for n, attribute in enumerate(bias.ATTRIBUTES)],
    )


def check_claims(folder: Path) -> None:
    """Write claims.csv and theory.png below `folder`. Raises UserError without matplotlib."""
    plot.require()
    measured = measure()
    write_csv(to_frame(measured.claims()), folder / "claims.csv", SCHEMA)
    plot.page(measured, folder / "theory.png")
