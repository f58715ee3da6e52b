"""One command that proves and measures on a GPU."""

SHARES = {"correctness": 0.12, "forward": 0.2, "ways": 0.17, "training": 0.12, "end to end": 0.14, "commands": 0.25}
"""Of the time, by part, in order of worth. Each part is a module, of which only its own is imported where it runs: one
that cannot be costs itself alone."""
RUNS = "runs"
"""The runs folder of a part, whose records are kept."""
