"""`snakemake audit` as a user types it, twice."""

from __future__ import annotations

from checkout import Checkout


def test_audit_is_one_job_and_runs_again_when_a_number_changes(checkout: Checkout) -> None:
    done = checkout.snakemake("audit")
    assert done.returncode == 0, done.stderr
    assert "p = 0.10; 80 % power wants 739" in (checkout.results / "audit.md").read_text(encoding="utf-8")
    assert (checkout.results / "audit.csv").is_file()
    assert "Nothing to be done" in checkout.snakemake("-n", "audit").stdout
    checkout.edit("paper_tables/rpo/table1.yaml", "78.52", "78.53")
    again = checkout.snakemake("-n", "audit")
    assert "audit" in again.stdout and "Nothing to be done" not in again.stdout, again.stdout
