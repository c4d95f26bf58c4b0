"""profiles/<name>/profile.yaml: what a Snakemake profile may hold, and what one says about submissions.

Snakemake takes without a word what it does not use: null, a mapping where it wants none, a rule or group that is
nowhere. Here each is a problem. Profiles are read as YAML: this package does not know Snakemake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from prefrepro.errors import UserError, nearest
from prefrepro.files import ROOT, show
from prefrepro.specs.files import read_mapping, report
from prefrepro.specs.rules import COUNT, FLAG, SEED, TEXT, Key, is_number, is_text, is_whole, key_problems, one_of

Accepts = Callable[[Any], bool]
SCOPES = ("local", "global", "excluded")
TRIGGERS = ("mtime", "params", "input", "software-env", "code")


def _is_value(value: Any) -> bool:
    return is_text(value) or is_number(value) or isinstance(value, bool)


def _is_word(value: Any) -> bool:
    return is_text(value) and re.fullmatch(r"\w+", value) is not None


def _all_of(accepts: Accepts) -> Accepts:
    return lambda raw: isinstance(raw, list) and bool(raw) and all(map(accepts, raw))


def _mapping_of(accepts_key: Accepts, accepts: Accepts) -> Accepts:
    return lambda raw: (
        isinstance(raw, dict) and bool(raw) and all(map(accepts_key, raw)) and all(map(accepts, raw.values()))
    )


def _pairs_of(value: str, accepts: Accepts, expected: str) -> Key:
    """A list of NAME=VALUE by the pattern `value`, or a mapping whose values are accepted."""
    entry, mapping = re.compile(rf"\w+={value}"), _mapping_of(_is_word, accepts)
    entries = _all_of(lambda one: is_text(one) and entry.fullmatch(one) is not None)
    return Key(lambda raw: entries(raw) or mapping(raw), f"a list of {expected}, or the mapping of it")


_by_rule = _mapping_of(_is_word, _mapping_of(_is_word, _is_value))
_rule_entries = _all_of(lambda one: is_text(one) and re.fullmatch(r"\w+:\w+=(?s:.+)", one) is not None)

NUMBER_OR_ALL = Key(
    lambda raw: raw in ("all", "unlimited") or is_whole(raw, 1), "a whole number of at least 1, all or unlimited"
)
SECONDS = Key(lambda raw: is_number(raw) and raw >= 0, "a number of seconds")
COUNTS = _pairs_of(r"[1-9]\d{0,8}", lambda raw: is_whole(raw, 1), "NAME=NUMBER, each at least 1")
KEYS: dict[str, Key] = {
    "executor": TEXT,
    "cores": NUMBER_OR_ALL,
    "jobs": NUMBER_OR_ALL,
    "local-cores": COUNT,
    "scheduler": one_of("greedy", "ilp"),
    "keep-going": FLAG,
    "retries": SEED,
    "rerun-incomplete": FLAG,
    "rerun-triggers": Key(
        _all_of(lambda one: isinstance(one, str) and one in TRIGGERS), f"a list of {', '.join(TRIGGERS)}"
    ),
    "show-failed-logs": FLAG,
    "latency-wait": SECONDS,
    "groups": _pairs_of(r"\w+", _is_word, "RULE=GROUP"),
    "group-components": COUNTS,
    "set-threads": COUNTS,
    "set-resource-scopes": _pairs_of(f"({'|'.join(SCOPES)})", one_of(*SCOPES).accepts, f"NAME={' or '.join(SCOPES)}"),
    "resources": _pairs_of(r"\d{1,18}", lambda raw: is_whole(raw, 0), "NAME=NUMBER"),
    "default-resources": _pairs_of("(?s:.+)", _is_value, "NAME=VALUE"),
    "set-resources": Key(
        lambda raw: _by_rule(raw) or _rule_entries(raw), "a list of RULE:NAME=VALUE, or RULE: {NAME: VALUE}"
    ),
    "seconds-between-status-checks": SECONDS,
    "max-status-checks-per-second": Key(lambda raw: is_number(raw) and raw > 0, "a number above 0"),
    "cluster-generic-submit-cmd": TEXT,
    "cluster-generic-status-cmd": TEXT,
    "cluster-generic-cancel-cmd": TEXT,
    "slurm-status-command": one_of("squeue", "sacct"),
    "slurm-jobname-prefix": TEXT,
    "slurm-init-seconds-before-status-checks": SECONDS,
    "slurm-partition-config": TEXT,
}
"""What our profiles say, and what else changes how a plan is submitted."""
OPTIONS = """
all-temp allow-ambiguity allowed-rules apptainer-args apptainer-prefix batch benchmark-extended cache conda-base-path
conda-cleanup-pkgs conda-frontend conda-not-block-search-path-envvars conda-prefix config configfile configfiles
consider-ancient container-image default-storage-prefix default-storage-provider deploy-sources directory
drop-metadata edit-notebook envvars force-use-threads ignore-incomplete immediate-submit jobname jobscript
keep-incomplete keep-storage-local-copies local-storage-prefix logger max-checksum-file-size max-inventory-time
max-jobs-per-second max-jobs-per-timespan max-threads no-hooks no-temp nocolor nolock notemp not-retrieve-storage
omit-flags omit-from output-wait persistence-backend persistence-backend-db-url precommand preemptible-retries
preemptible-rules printshellcmds prioritize queue-input-wait-time quiet remote-job-local-storage-prefix
replace-workflow-config reporter runtime-source-cache-path scheduler-greediness scheduler-ilp-solver
scheduler-ilp-solver-path scheduler-subsample sdm set-scatter shadow-prefix shared-fs-usage skip-script-cleanup
snakefile software-deployment-method strict-dag-evaluation trust-io-cache until use-apptainer use-conda use-envmodules
use-singularity verbose wait-for-files wait-for-free-local-storage wrapper-prefix scheduler-greedy-greediness
scheduler-greedy-omit-prioritize-by-temp-and-input report-html-path report-html-stylesheet-path
cluster-generic-cancel-nargs cluster-generic-sidecar-cmd slurm-array-jobs slurm-array-limit
slurm-delete-logfiles-older-than slurm-disable-memory-fudge slurm-efficiency-report slurm-efficiency-report-path
slurm-efficiency-threshold slurm-exclude-failed-nodes slurm-jobstep-array-execs slurm-jobstep-pass-command-as-script
slurm-keep-successful-logs slurm-logdir slurm-no-account slurm-no-requeue slurm-pass-command-as-script slurm-qos
slurm-requeue slurm-reservation slurm-status-attempts
""".split()  # noqa: SIM905 -- a list would be three pages
"""Other options of Snakemake and its executors; those that do something else than run jobs are left out."""
OTHER = Key(
    lambda raw: _is_value(raw) or _all_of(_is_value)(raw) or _mapping_of(is_text, _is_value)(raw),
    "text, a number, true or false, or a list or mapping of them",
)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile says about submissions."""

    name: str
    is_local: bool
    submitted: int | None
    """The most at a time; None: no limit."""
    group_of: dict[str, str]
    """rule -> group"""
    components: dict[str, int]
    """group -> jobs of one submission"""


def read_profile(name: str) -> Profile:
    """profiles/<name>/profile.yaml. Raises UserError where there is none, or with every problem of it."""
    known = sorted(path.parent.name for path in (ROOT / "profiles").glob("*/profile.yaml"))
    if name not in known:
        raise UserError(f'--profile is "{name}". Known: {", ".join(known)}.{nearest(name, known)}')
    path = ROOT / "profiles" / name / "profile.yaml"
    return check_profile(name, read_mapping(path), show(path))


def check_profile(name: str, raw: dict[str, Any], where: str) -> Profile:
    """What a profile's content says. Raises UserError with every problem, each with its key."""
    own = f"{raw.get('executor')}-"  # options of another executor are the executor's to check
    is_other = own not in ("slurm-", "cluster-generic-")
    others = [key for key in raw if key not in KEYS and (key in OPTIONS or (is_other and str(key).startswith(own)))]
    problems = key_problems(KEYS | dict.fromkeys(others, OTHER), raw, [*KEYS, *others])
    report([f"{where}: {problem}" for problem in problems])
    groups, components = _pairs(raw.get("groups")), _pairs(raw.get("group-components"))
    known = sorted(set(groups.values()))
    report(
        [
            f"{where}: {problem}"
            for problem in [
                *_strangers("groups", groups, "rule", rules()),
                *_strangers("group-components", components, "group of this profile", known),
                *_strangers("set-threads", _pairs(raw.get("set-threads")), "rule", rules()),
                *_strangers("set-resources", _rules_of(raw.get("set-resources")), "rule", rules()),
            ]
        ]
    )
    is_local = raw.get("executor", "local") == "local"
    jobs = raw.get("jobs")
    submitted = jobs if isinstance(jobs, int) and not is_local else None
    return Profile(name, is_local, submitted, groups, {group: int(count) for group, count in components.items()})


def _strangers(key: str, names: Iterable[str], what: str, known: list[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f'{key}: "{name:.80}" is no {what}. Known: {", ".join(known)}.{nearest(name, known)}'


@cache
def rules() -> list[str]:
    """The names of all rules of the workflow."""
    files = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    return [name for file in files for name in re.findall(r"(?m)^rule (\w+):", file.read_text(encoding="utf-8"))]


def _pairs(raw: Any) -> dict[str, str]:
    """A list of KEY=VALUE, or the mapping that stands for it."""
    entries = raw.items() if isinstance(raw, dict) else (str(entry).split("=", 1) for entry in raw or ())
    return {str(key): str(value) for key, value in entries}


def _rules_of(raw: Any) -> list[str]:
    """Of RULE:NAME=VALUE, or of a mapping by rule."""
    return [str(entry).partition(":")[0] for entry in raw or ()]
