"""From planned jobs to submitit: submitting them here or on SLURM (slurm/), and starting again what failed.

Knows job ids, tasks and processes; what a job measures and how it is shown is not known here.
"""
