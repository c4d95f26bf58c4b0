# One target for each table spec: table1 … for RPO, <paper>_table1 … for the others; rpo_table1 and rpo/table1 … are the same.
localrules:
    table,


rule table:
    input:
        lambda wildcards: inputs_of(PLAN.tables[TABLE_OF[wildcards.name]]),
    output:
        multiext(
            f"{RESULTS}/tables/{{name}}",
            ".csv",
            ".md",
            ".tex",
            ".pairs.csv",
            ".cell_seeds.csv",
        ),
        report(
            f"{RESULTS}/tables/{{name}}.html",
            caption="../report/table.rst",
            category="Tables",
            subcategory="{name}",
            labels={"table": "{name}", "file": "table"},
        ),
        report(
            f"{RESULTS}/tables/{{name}}.cells.csv",
            caption="../report/cells.rst",
            category="Tables",
            subcategory="{name}",
            labels={"table": "{name}", "file": "cells, tidy"},
        ),
    log:
        f"{LOGS}/table/{{name}}.log",
    benchmark:
        f"{TIMES}/table/{{name}}.tsv"
    wildcard_constraints:
        name="|".join(TABLE_OF),
    params:
        python=python,
        plan=PLAN_FILE,
        node=lambda wildcards: PLAN.tables[TABLE_OF[wildcards.name]].id,
    shell:
        "exec {params.python} -m prefrepro.jobs.main {params.plan} {params.node} > {log} 2>&1"


for name, target in TABLE_RULES.items():

    rule:
        name:
            name
        input:
            table_files(target),
        localrule: True


# A spec that cannot be planned stops nobody else.
for target in PLAN.broken:

    rule:
        name:
            target
        input:
            broken(target),
        localrule: True


# A target that no other rule makes; results/ alone holds what the rules make.
rule unknown_target:
    input:
        no_target,
    output:
        "{target}",
    wildcard_constraints:
        target=r"(?!results/)[^.]+",
    localrule: True
