"""The work of a job, a file for each kind: evaluate, measure, count, train, visualize; imports torch."""
