# Answers of each run to the evaluation prompts, or answers that were made elsewhere.


rule sample:
    input:
        done,
    output:
        f"{RESULTS}/samples/{{id}}/manifest.json",
        f"{RESULTS}/samples/{{id}}/samples.jsonl",
    log:
        f"{LOGS}/sample/{{id}}.log",
    benchmark:
        f"{TIMES}/sample/{{id}}.tsv"
    wildcard_constraints:
        id=ids("sample", "import"),
    resources:
        **RESOURCES,
    params:
        python=launch,
        config=config_arguments,
    shell:
        "exec {params.python} -m prefrepro.sample {wildcards.id} {params.config} > {log} 2>&1"
