# Held-out pairs as a model ranks them, held against their labels: neither answers nor a judge.


use rule data as preference with:
    output:
        f"{RESULTS}/verdicts/{{id}}/manifest.json",
        f"{RESULTS}/verdicts/{{id}}/verdicts.csv",
    log:
        f"{LOGS}/preference/{{id}}.log",
    benchmark:
        f"{TIMES}/preference/{{id}}.tsv"
    wildcard_constraints:
        id=ids("preference"),
