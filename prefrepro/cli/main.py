"""prefrepro: look at the plan and at results, write and check methods. To run: snakemake table1"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import shtab

from prefrepro.cli import calibration as calibration_cli
from prefrepro.cli import forecast as forecast_cli
from prefrepro.cli import import_samples as import_cli
from prefrepro.cli import judge as judge_cli
from prefrepro.cli import publish as publish_cli
from prefrepro.cli import report as report_cli
from prefrepro.cli import simulate as simulate_cli
from prefrepro.cli import trace as trace_cli
from prefrepro.cli import watch as watch_cli
from prefrepro.cli.parser import Commands, Parser, add_command, parse_config
from prefrepro.errors import UserError, exit_on_user_error
from prefrepro.files import ROOT
from prefrepro.method_tools.new import SHAPES, new_method
from prefrepro.plan.build import make_plan
from prefrepro.plan.plan import Plan
from prefrepro.plan.store import write_plan
from prefrepro.specs.method import method_names

EXIT_FOUND_WANTING, EXIT_INTERRUPTED = 1, 130
EXIT_CODES = {
    0: "done",
    EXIT_FOUND_WANTING: "looked at and found wanting (check, judge probe); with a traceback: a bug of ours",
    2: "what was asked for cannot be done; the message on stderr says what to mend",
    EXIT_INTERRUPTED: "interrupted (Ctrl-C)",
}
EPILOG = """COMMAND --help has examples. Tab completion: source <(prefrepro --print-completion bash), or zsh, …
Exit codes: 0 done, 1 looked at and found wanting, 2 input to be mended, 130 interrupted."""
CONFIG: dict[str, Any] = {"nargs": "*", "metavar": "KEY=VALUE", "help": "as for snakemake --config"}
SHOWN = 2
"""Problems of one rule that are printed: a loss that is NaN is NaN on every batch."""


def main() -> None:
    """Entry point of the `prefrepro` command."""
    try:
        exit_on_user_error(_main)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _main() -> None:
    arguments = build_parser().parse_args()
    does = {"plan": _plan, "show": _show, "collect": _collect, "check": _check, "new-method": _new_method}
    does |= {"judge": judge_cli.run, "calibration": calibration_cli.run, "forecast": forecast_cli.run}
    does |= {"watch": watch_cli.run, "push": publish_cli.run, "simulate": simulate_cli.run, "report": _report}
    does |= {"explain": trace_cli.run_explain, "verify": trace_cli.run_verify, "diff": trace_cli.run_diff}
    does |= {"crate": trace_cli.run_crate, "import-samples": import_cli.run}
    does[arguments.command](arguments)


def build_parser() -> Parser:
    """The whole command line. The documentation's page of it and shell completion are made of this too."""
    parser = Commands(prog="prefrepro", description=__doc__, epilog=EPILOG)
    shtab.add_argument_to(parser, "--print-completion", help="what a shell sources to complete these words")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    plan = add_command(
        commands,
        "plan",
        "list the jobs of a table, or of all tables",
        """
        prefrepro plan table1                     what table 1 needs, each job once
        prefrepro plan tables scale=paper --json  runs, samples, verdicts and cells at the papers' scale
        prefrepro plan table4 seeds=3 reading=code
        """,
    )
    plan.add_argument("target", nargs="?", default="tables", help="table1, … or tables (default)")
    plan.add_argument("config", **CONFIG)
    plan.add_argument("--scale", help="the same as scale=…")
    plan.add_argument("--json", action="store_true", help="runs, samples, verdicts and cells as JSON")
    plan.add_argument("--write", action="store_true", help="write results/<scale>/plan.json, for a job run by hand")
    forecast_cli.add_parser(commands)
    simulate_cli.add_parser(commands)
    watch_cli.add_parser(commands)
    show = add_command(
        commands,
        "show",
        "print a finished table",
        """
        prefrepro show rpo/table1
        prefrepro show rpo/table1 --json           its cells, as in cells.csv
        prefrepro show swepo/table1 scale=pocket
        """,
    )
    show.add_argument("table", help="paper/table, such as rpo/table1")
    show.add_argument("config", **CONFIG)
    show.add_argument("--json", action="store_true", help="the table's cells as JSON")
    collect = add_command(
        commands,
        "collect",
        "rebuild the four CSVs of a results folder",
        """
        prefrepro collect                          results/embedded/{cells,runs,verdicts,judging}.csv
        prefrepro collect scale=pocket
        """,
    )
    collect.add_argument("config", **CONFIG)
    report_cli.add_parser(commands)
    trace_cli.add_parsers(commands)
    import_cli.add_parser(commands)
    publish_cli.add_parser(commands)
    new = add_command(
        commands,
        "new-method",
        "write a method file that works, to be changed",
        """
        prefrepro new-method my_dpo --shape paired       methods/my_dpo.py
        prefrepro new-method my_swepo --shape ranked
        """,
    )
    new.add_argument("name", help="in snake_case: the file's name and what a table's row calls it")
    new.add_argument("--shape", choices=SHAPES, required=True, help="what its loss receives")
    check = add_command(
        commands,
        "check",
        "does a method file meet the contract",
        """
        prefrepro check                            every method
        prefrepro check methods/dpo.py --json      one, for a program; exit code 1 where it fails
        """,
    )
    check.add_argument("files", nargs="*", type=Path, metavar="FILE", help="methods/x.py; default: all of methods/")
    check.add_argument("--json", action="store_true", help="every rule and problem as JSON")
    judge_cli.add_parser(commands)
    calibration_cli.add_parser(commands)
    return parser


def _make(arguments: argparse.Namespace) -> Plan:
    config = parse_config(arguments.config)
    if getattr(arguments, "scale", None):
        config["scale"] = arguments.scale
    return make_plan(config)


def _plan(arguments: argparse.Namespace) -> None:
    if "=" in arguments.target:
        arguments.config, arguments.target = [arguments.target, *arguments.config], "tables"
    plan = _make(arguments)
    targets = plan.targets([arguments.target])
    tables = [plan.table_named(target) for target in targets]
    nodes = plan.needed_by(targets)
    if arguments.write:
        write_plan(plan)
    if not arguments.json:
        for kind, count in Counter(node.kind for node in nodes).items():
            print(f"{count:4} {kind}")
        for node in nodes:
            print(f"{node.kind:13} {node.id}")
        return
    kinds = {"runs": ("sft", "run"), "samples": ("sample",), "verdicts": ("verdict",)}
    out = {
        name: [{"id": node.id, "inputs": node.inputs, **node.spec} for node in nodes if node.kind in of]
        for name, of in kinds.items()
    }
    out["cells"] = [cell for table in tables for cell in table.spec["cells"]]
    json.dump(out, sys.stdout, indent=1, ensure_ascii=False)
    print()


def _show(arguments: argparse.Namespace) -> None:
    plan = _make(arguments)
    path = plan.results / "tables" / f"{arguments.table.replace('/', '_')}.md"
    if not path.is_file():
        target = next((t for t, n in plan.tables.items() if n.id.startswith(path.stem + "_")), None)
        known = [f"{node.spec['paper']}/{node.spec['table']}" for node in plan.tables.values()]
        hint = f"make it with: snakemake {target}" if target else f"known tables: {', '.join(known)}"
        raise UserError(f"{path} does not exist; {hint}")
    if arguments.json:
        with path.with_suffix(".cells.csv").open(encoding="utf-8", newline="") as file:
            print(json.dumps(list(csv.DictReader(file)), indent=1, ensure_ascii=False))
        return
    print(path.read_text(encoding="utf-8"))
    print(f"Files: {path.with_suffix('')}.{{csv,md,tex,html}}  {plan.results}/{{cells,runs,verdicts}}.csv")


def _collect(arguments: argparse.Namespace) -> None:
    from prefrepro.tables.collect import collect  # pandas: not needed for planning

    collect(_make(arguments).results)


def _check(arguments: argparse.Namespace) -> None:
    from prefrepro.method_tools.check import RULES, check_method  # torch: not needed for anything else here

    files = arguments.files or [ROOT / "methods" / f"{name}.py" for name in method_names()]
    reports = [check_method(file) for file in files]
    if arguments.json:
        json.dump([report.as_json() for report in reports], sys.stdout, indent=1, ensure_ascii=False)
        print()
    for report in reports if not arguments.json else ():
        print(f"{'ok' if report.is_ok else 'FAILS':5} {report.file}")
        for rule, meaning in RULES.items() if not report.is_ok or len(reports) == 1 else ():
            status = report.status(rule)
            print(f"      {'FAILS' if status == 'fails' else status:11} {rule:13} {meaning}")
            problems = [problem for problem in report.problems if problem.rule == rule]
            for problem in problems[:SHOWN]:
                print(f"          found     {problem.found}\n          expected  {problem.expected}")
                print(f"          where     {problem.where}\n          next      {problem.next_step}")
            if len(problems) > SHOWN:
                print(f"          … and {len(problems) - SHOWN} more of this rule: --json lists them")
    failed = [report.file for report in reports if not report.is_ok]
    if not arguments.json:
        print(f"{len(reports) - len(failed)} of {len(reports)} meet the contract (methods/contract.py).")
    if failed:
        sys.exit(1)


def _report(arguments: argparse.Namespace) -> None:
    print(report_cli.run(arguments))


def _new_method(arguments: argparse.Namespace) -> None:
    print(new_method(arguments.name, arguments.shape))
