"""One command that proves and measures on a GPU."""
