# Data sets: canonical rows, split and counted. Every rule that does a node of the plan takes its body from this one.


rule data:
    input:
        done,
    output:
        f"{RESULTS}/data/{{id}}/manifest.json",
    log:
        f"{LOGS}/data/{{id}}.log",
    benchmark:
        f"{TIMES}/data/{{id}}.tsv"
    wildcard_constraints:
        id=ids("data"),
    resources:
        **RESOURCES,
    params:
        python=launch,
        job=job,
        plan=PLAN_FILE,
    shell:
        "exec {params.python} -m {params.job} {params.plan} {wildcards.id} > {log} 2>&1"
