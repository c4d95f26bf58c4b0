# RPO's Figures 1 and 2 with the first batch of our runs: no node of the plan, so its code stands in params.
from prefrepro.plan.code_digest import code_digest
from prefrepro.studies.contrast.panels import FOLDER, needed


rule figures_rpo:
    input:
        lambda wildcards: [f"{RESULTS}/{node.done}" for node in needed(PLAN)],
    output:
        report(
            multiext(
                f"{RESULTS}/{FOLDER}/", "figure1.svg", "figure2.svg", "embedders.svg"
            ),
            caption="../report/figures.rst",
            category="Checks",
            labels={"check": "contrast matrix"},
        ),
    log:
        f"{LOGS}/figures_rpo.log",
    benchmark:
        f"{TIMES}/figures_rpo.tsv"
    resources:
        **RESOURCES,
    params:
        python=python,
        config=config_arguments,
        code=lambda wildcards: code_digest("prefrepro.studies.contrast.run"),
    shell:
        "exec {params.python} -m prefrepro figures {params.config} > {log} 2>&1"
