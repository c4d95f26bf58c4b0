# One HTML page of all results; `prefrepro report` makes the same of what is there.
import time


rule report:
    input:
        rules.tables.input,
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../report/report.rst",
            category="Report",
            labels={"page": "everything, in one file"},
        ),
    log:
        f"{LOGS}/report.log",
    localrule: True
    params:
        python=python,
        config=config_arguments,
        # All results are its input: a param that always differs makes the rule run whenever it is requested.
        asked_at=lambda wildcards: time.time(),
    shell:
        "exec {params.python} -m prefrepro report {params.config} > {log} 2>&1"
