# Every table of both papers, from training to printed number. Use: README.md; build: docs/architecture.md.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


# Has no effect without --sdm; the environment is .venv or environment.yml.
container: "docker://python:3.11-slim"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


rule tables:
    default_target: True
    input:
        printed_tables,
    localrule: True


include: "workflow/rules/data.smk"
include: "workflow/rules/sft.smk"
include: "workflow/rules/align.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/judge.smk"
include: "workflow/rules/preference.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/theory.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/frontier.smk"
include: "workflow/rules/calibration.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/forecast.smk"
include: "workflow/rules/report.smk"
