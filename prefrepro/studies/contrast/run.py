"""The figures of RPO's contrast matrix, from a results folder that has the data and the embeddings."""

from __future__ import annotations

from prefrepro.errors import UserError
from prefrepro.plan.plan import Plan
from prefrepro.studies.contrast import plot
from prefrepro.studies.contrast.batch import first_batch
from prefrepro.studies.contrast.panels import EMBEDDERS, FOLDER, METHODS, needed, panels

FIGURES = {
    "figure1": "Figure 1: what one chosen response is held against, by DPO and by RPO",
    "figure2": "Figure 2: the contrast matrix of a batch, with its weights",
    "embedders": "The same batch of pairs under the embedders of Table 2, τ = 0.5",
}
"""File -> what it shows"""
FILES = [f"{FOLDER}/{name}.svg" for name in FIGURES]


def draw(plan: Plan) -> None:
    """Write figures_rpo/*.svg. Raises UserError where data or embeddings are missing."""
    if missing := [node.id for node in needed(plan) if not (plan.results / node.done).is_file()]:
        raise UserError(f"{', '.join(missing)}: not in {plan.results}. To make them: snakemake figures_rpo")
    dpo, paired, unpaired = (first_batch(panel, plan.results) for panel in panels(plan, METHODS))
    embedders = [first_batch(panel, plan.results) for panel in panels(plan, EMBEDDERS)]
    folder = plan.results / FOLDER
    plot.one_response(dpo, paired, folder / "figure1.svg")
    plot.matrices([dpo, paired, unpaired], FIGURES["figure2"], folder / "figure2.svg")
    plot.matrices(embedders, FIGURES["embedders"], folder / "embedders.svg")
