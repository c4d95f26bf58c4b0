# Verdicts: one job per sample set and judge; a local judge server lives and dies inside its job.


use rule data as judge with:
    output:
        f"{RESULTS}/verdicts/{{id}}/manifest.json",
        f"{RESULTS}/verdicts/{{id}}/verdicts.csv",
    log:
        f"{LOGS}/judge/{{id}}.log",
    benchmark:
        f"{TIMES}/judge/{{id}}.tsv"
    wildcard_constraints:
        id=ids("verdict"),
