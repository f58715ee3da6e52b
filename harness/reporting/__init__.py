"""From records and printed numbers to tables, plots and pages.

Reads the runs folder and writes text; submits, waits for and changes nothing.
"""
