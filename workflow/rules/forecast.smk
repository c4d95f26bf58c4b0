# Jobs, hours, judge calls and USD of every printed table, shown and written down.
import time


rule forecast:
    output:
        f"{RESULTS}/forecast.csv",
        f"{RESULTS}/forecast.md",
    log:
        f"{LOGS}/forecast.log",
    localrule: True
    params:
        python=python,
        config=config_arguments,
        # All results are its input: a param that always differs makes the rule run whenever it is requested.
        asked_at=lambda wildcards: time.time(),
    shell:
        "{params.python} -m prefrepro forecast {params.config} --write 2>&1 | tee {log}"
