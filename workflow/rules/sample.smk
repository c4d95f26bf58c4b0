# Answers of each run to the evaluation prompts, or answers that were made elsewhere.


use rule data as sample with:
    output:
        f"{RESULTS}/samples/{{id}}/manifest.json",
        f"{RESULTS}/samples/{{id}}/samples.jsonl",
    log:
        f"{LOGS}/sample/{{id}}.log",
    benchmark:
        f"{TIMES}/sample/{{id}}.tsv"
    wildcard_constraints:
        id=ids("sample", "import"),
