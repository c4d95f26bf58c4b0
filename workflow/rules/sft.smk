# What alignment starts from: weights from packages, base models made here, SFT, and the reward model of a stand-in judge. By priority, what
# most others wait for goes first: left to the end, it would keep one core busy and the rest waiting.


use rule data as package with:
    output:
        f"{RESULTS}/package/{{id}}/manifest.json",
    log:
        f"{LOGS}/package/{{id}}.log",
    benchmark:
        f"{TIMES}/package/{{id}}.tsv"
    wildcard_constraints:
        id=ids("package"),
    priority: 3


use rule data as base with:
    output:
        f"{RESULTS}/base/{{id}}/run.json",
    log:
        f"{LOGS}/base/{{id}}.log",
    benchmark:
        f"{TIMES}/base/{{id}}.tsv"
    wildcard_constraints:
        id=ids("base"),
    priority: 3


use rule data as sft with:
    output:
        f"{RESULTS}/runs/{{id}}/run.json",
        f"{RESULTS}/runs/{{id}}/metrics.csv",
    log:
        f"{LOGS}/sft/{{id}}.log",
    benchmark:
        f"{TIMES}/sft/{{id}}.tsv"
    wildcard_constraints:
        id=ids("sft"),
    priority: 2


use rule data as reward_model with:
    output:
        f"{RESULTS}/runs/{{id}}/run.json",
        f"{RESULTS}/runs/{{id}}/metrics.csv",
    log:
        f"{LOGS}/reward_model/{{id}}.log",
    benchmark:
        f"{TIMES}/reward_model/{{id}}.tsv"
    wildcard_constraints:
        id=ids("reward_model"),
    priority: 1
