# What every method gains at what distance from its reference: docs/frontier.md.
from prefrepro.plan.code_digest import code_digest
from prefrepro.plan.frontier import FOLDER as FRONTIER


use rule data as distance with:
    output:
        f"{RESULTS}/distance/{{id}}/manifest.json",
        f"{RESULTS}/distance/{{id}}/distance.csv",
    log:
        f"{LOGS}/distance/{{id}}.log",
    benchmark:
        f"{TIMES}/distance/{{id}}.tsv"
    wildcard_constraints:
        id=ids("distance"),


rule frontier:
    input:
        [f"{RESULTS}/{node.done}" for node in PLAN.of_kind("distance")],
    output:
        multiext(f"{RESULTS}/{FRONTIER}/frontier", ".csv", ".md"),
        report(
            f"{RESULTS}/{FRONTIER}/frontier.svg",
            caption="../report/frontier.rst",
            category="Checks",
            labels={"check": "frontier"},
        ),
    log:
        f"{LOGS}/frontier.log",
    benchmark:
        f"{TIMES}/frontier.tsv"
    resources:
        **RESOURCES,
    params:
        python=python,
        config=config_arguments,
        code=lambda wildcards: code_digest("prefrepro.studies.frontier.run"),
    shell:
        "exec {params.python} -m prefrepro frontier {params.config} > {log} 2>&1"
