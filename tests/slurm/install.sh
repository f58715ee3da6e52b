#!/usr/bin/env bash
# Install SLURM, munge and MariaDB from Debian's packages, for `python -m tests.slurm` and the tests in this folder.
# Nothing of theirs is started: the test cluster runs its own copies, all in one folder.
exec "$(dirname "$0")/../install.sh" munge mariadb-server slurmctld slurmd slurm-client slurmdbd
