# Reference log-probs and embeddings, shared by all runs, and one rule for every alignment method.


rule reference:
    input:
        done,
    output:
        f"{RESULTS}/reference/{{id}}/manifest.json",
    log:
        f"{LOGS}/reference/{{id}}.log",
    benchmark:
        f"{TIMES}/reference/{{id}}.tsv"
    wildcard_constraints:
        id=ids("reference"),
    params:
        python=python,
        config=config_arguments,
    shell:
        "exec {params.python} -m prefrepro.train {wildcards.id} {params.config} > {log} 2>&1"


rule embeddings:
    input:
        done,
    output:
        f"{RESULTS}/embeddings/{{id}}/manifest.json",
    log:
        f"{LOGS}/embeddings/{{id}}.log",
    benchmark:
        f"{TIMES}/embeddings/{{id}}.tsv"
    wildcard_constraints:
        id=ids("embeddings"),
    params:
        python=python,
        config=config_arguments,
    shell:
        "exec {params.python} -m prefrepro.train {wildcards.id} {params.config} > {log} 2>&1"


rule align:
    input:
        done,
    output:
        f"{RESULTS}/runs/{{id}}/run.json",
        f"{RESULTS}/runs/{{id}}/metrics.csv",
    log:
        f"{LOGS}/align/{{id}}.log",
    benchmark:
        f"{TIMES}/align/{{id}}.tsv"
    wildcard_constraints:
        id=ids("run"),
    params:
        python=python,
        config=config_arguments,
    shell:
        "exec {params.python} -m prefrepro.train {wildcards.id} {params.config} > {log} 2>&1"
