"""How long a plan takes on a machine or cluster: its jobs replayed as events, without running any of them.

tasks.py: what is submitted, with seconds, devices and what it waits for; engine.py: when each starts and ends;
report.py: what `prefrepro simulate` prints.
"""
