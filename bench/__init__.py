"""What the project is measured with: against peers, on CPU and GPU, job by job. Nothing in prefrepro imports it.

train.py, dag.py, judge.py, gpu.py: one command and one CSV each in results/; campaign.py: a forecast by arithmetic;
page.py: docs/performance.md from the CSVs.
"""
