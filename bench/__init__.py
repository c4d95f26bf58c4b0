"""Measurements of the project itself: against peers, on CPU and GPU, job by job. prefrepro imports none of them.

train.py, dag.py, judge.py, gpu.py: one command and one CSV each in results/; campaign.py: a forecast by arithmetic;
page.py: docs/performance.md from the CSVs. embedded_world.py, interval_coverage.py: does the embedded world tell
methods apart, how often do our intervals cover; same_numbers.py: did a change of the code move a number.
"""
