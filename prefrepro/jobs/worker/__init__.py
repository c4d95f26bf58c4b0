"""One warm process that has imported torch and its like, and forks once for each short job of a workflow.

A job at embedded scale takes seconds, and importing transformers takes as many again. start.py: started by the
workflow's main process, on one machine; client.py: a job asks first; server.py and job.py: the worker and its forks.
Only libraries are warm: every job reads code of ours anew.
"""
