"""The control plane: from tables to jobs. Imports no torch."""
