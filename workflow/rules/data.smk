# Data sets: canonical rows, split and counted.


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
        python=python,
        config=config_arguments,
    shell:
        "exec {params.python} -m prefrepro.data {wildcards.id} {params.config} > {log} 2>&1"
