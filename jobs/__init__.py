"""The data plane: what is asked of a job, and what runs on a node.

`spec/` says what a job is, `run.py` is what submitit calls on a node, and `cost.py` is what a job takes. `node/` is the
task around the work; `work/` has a file for each kind of job, on top of `data/`, `training/` and `figures/`.
"""
