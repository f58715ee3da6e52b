"""The page of a run, as Markdown."""

from typing import Any

from tabulate import tabulate


def page(content: dict[str, Any]) -> str:
    """Machine, and part by part its tables, what was noted, and what failed."""
    where = content["machine"]
    rehearsal = " (a rehearsal with small models: it checks that all runs, its rates say nothing)" * content["small"]
    lines = [f"# Measured on {where['device']}{rehearsal}", ""]
    lines += [f"- {name}: {value}" for name, value in where.items() if name != "device"]
    for name, part in content["parts"].items():
        lines += ["", f"## {name.capitalize()}, {part['seconds']:.0f} s"]
        if part["error"]:
            lines += ["", f"**failed**: {part['error']}"]
        for one in part["results"]:
            lines += ["", f"### {one['title']}", ""]
            if one["rows"]:
                lines.append(tabulate(one["rows"], one["headers"], tablefmt="github", disable_numparse=True))
            lines += ["", *(f"- {note}" for note in one["notes"])] if one["notes"] else []
    return "\n".join(lines) + "\n"
