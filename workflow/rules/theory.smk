# Swepo's lemmas and theorems, checked numerically: no node of the plan, so its code stands in params.
from prefrepro.plan.code_digest import code_digest


rule theory:
    output:
        f"{RESULTS}/theory/claims.csv",
        report(
            f"{RESULTS}/theory/theory.png",
            caption="../report/theory.rst",
            category="Checks",
            labels={"check": "theory"},
        ),
    log:
        f"{LOGS}/theory.log",
    benchmark:
        f"{TIMES}/theory.tsv"
    resources:
        **RESOURCES,
    params:
        python=python,
        config=config_arguments,
        code=lambda wildcards: code_digest("prefrepro.studies.theory.run"),
    shell:
        "exec {params.python} -m prefrepro theory {params.config} > {log} 2>&1"
