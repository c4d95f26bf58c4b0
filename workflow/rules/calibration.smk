# Judges against published verdicts: no node of the plan, so its code stands in params.
from prefrepro.plan.code_digest import code_digest


rule calibration:
    output:
        report(
            f"{RESULTS}/calibration.csv",
            caption="../report/calibration.rst",
            category="Checks",
            labels={"check": "judges"},
        ),
        f"{RESULTS}/calibration.md",
        f"{RESULTS}/calibration_cells.csv",
        f"{RESULTS}/calibration_verdicts.csv",
    log:
        f"{LOGS}/calibration.log",
    benchmark:
        f"{TIMES}/calibration.tsv"
    resources:
        **RESOURCES,
    params:
        python=python,
        config=config_arguments,
        code=lambda wildcards: code_digest("prefrepro.studies.calibration.run"),
    shell:
        "exec {params.python} -m prefrepro calibration {params.config} > {log} 2>&1"
