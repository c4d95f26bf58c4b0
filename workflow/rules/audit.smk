# Can the printed numbers be, and what do they show; do ours show it too: no node of the plan, so its code stands in params.
from pathlib import Path

from prefrepro.plan.code_digest import code_digest


rule audit:
    input:
        sorted(
            str(path) for path in Path(workflow.basedir).glob("paper_tables/*/*.yaml")
        ),
        [str(path) for path in [Path(RESULTS, "cells.csv")] if path.is_file()],
    output:
        report(
            f"{RESULTS}/audit.csv",
            caption="../report/audit.rst",
            category="Checks",
            labels={"check": "printed numbers"},
        ),
        f"{RESULTS}/audit.md",
        f"{RESULTS}/audit_claims.csv",
    log:
        f"{LOGS}/audit.log",
    benchmark:
        f"{TIMES}/audit.tsv"
    resources:
        **RESOURCES,
    params:
        python=python,
        config=config_arguments,
        code=lambda wildcards: code_digest(
            "prefrepro.studies.audit.page", "prefrepro.studies.audit.claims"
        ),
    shell:
        "exec {params.python} -m prefrepro audit {params.config} > {log} 2>&1"
