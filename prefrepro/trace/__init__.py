"""Where every number comes from: records of jobs, and what reads them: explain, verify, diff, crate."""
