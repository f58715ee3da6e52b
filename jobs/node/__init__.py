"""A task on a node, whatever it measures: its files, signals and requeueing, and what is tried there beforehand."""
