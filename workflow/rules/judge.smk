# Verdicts: one job per sample set and judge; a local judge server lives and dies inside its job.


rule judge:
    input:
        done,
    output:
        f"{RESULTS}/verdicts/{{id}}/manifest.json",
        f"{RESULTS}/verdicts/{{id}}/verdicts.csv",
    log:
        f"{LOGS}/judge/{{id}}.log",
    benchmark:
        f"{TIMES}/judge/{{id}}.tsv"
    wildcard_constraints:
        id=ids("verdict"),
    resources:
        **RESOURCES,
    params:
        python=launch,
        config=config_arguments,
    shell:
        "exec {params.python} -m prefrepro.judge {wildcards.id} {params.config} > {log} 2>&1"
