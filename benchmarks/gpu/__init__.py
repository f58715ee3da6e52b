"""One command that proves and measures on a GPU."""

KEPT = "records"
"""What a part writes into this folder of its own comes into the command's."""
