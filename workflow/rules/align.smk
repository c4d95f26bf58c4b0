# What all runs share: reference log-probs, embeddings, rewards of the reference's responses. One rule aligns them all.


use rule data as reference with:
    output:
        f"{RESULTS}/reference/{{id}}/manifest.json",
    log:
        f"{LOGS}/reference/{{id}}.log",
    benchmark:
        f"{TIMES}/reference/{{id}}.tsv"
    wildcard_constraints:
        id=ids("reference"),
    priority: 1


use rule data as embeddings with:
    output:
        f"{RESULTS}/embeddings/{{id}}/manifest.json",
    log:
        f"{LOGS}/embeddings/{{id}}.log",
    benchmark:
        f"{TIMES}/embeddings/{{id}}.tsv"
    wildcard_constraints:
        id=ids("embeddings"),
    priority: 1


use rule data as reference_rewards with:
    output:
        f"{RESULTS}/reference_rewards/{{id}}/manifest.json",
    log:
        f"{LOGS}/reference_rewards/{{id}}.log",
    benchmark:
        f"{TIMES}/reference_rewards/{{id}}.tsv"
    wildcard_constraints:
        id=ids("reference_rewards"),
    priority: 1


use rule data as align with:
    output:
        f"{RESULTS}/runs/{{id}}/run.json",
        f"{RESULTS}/runs/{{id}}/metrics.csv",
    log:
        f"{LOGS}/align/{{id}}.log",
    benchmark:
        f"{TIMES}/align/{{id}}.tsv"
    wildcard_constraints:
        id=ids("run"),
