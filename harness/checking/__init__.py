"""What the doctor checks before anything is submitted: inputs, packages, the runs folder, SLURM, and a trial task.

Each check yields findings; none changes a plan or a job. What a sweep itself must refuse is checked in running/.
"""
