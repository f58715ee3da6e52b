"""From tables to jobs: which cells have a record, which share a job, and what the rest will take.

Reads a profile, its files and records; starts nothing.
"""
