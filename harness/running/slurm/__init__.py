"""SLURM: what sbatch is given (sbatches), how it answers (refusals), and what the site has (sinfo, site)."""
