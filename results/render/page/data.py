"""What the page's script reads: records, cells, jobs and texts to copy, as JSON in which nothing is there twice."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from results.answers import NAME as ANSWERS
from results.records import Record
from results.render import render
from results.render.page.content import Figure, Job, Page
from results.render.page.layout import cell_ids
from results.render.table_view import TableView

COPIED = ("github", "latex", "csv")
"""The formats that a table can be copied in."""
NESTED = ("settings", "samples", "provenance")
"""Fields of a record whose parts are shared one by one."""
SKIPPED_MOST = 1000
"""Videos left out that are named for a record; its file names all."""

as_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def payload(page: Page, tips: Mapping[str, Any]) -> str:
    """Return the JSON for a <script> element; no text in it can end the element."""
    parts = _Parts()
    content = {
        "live": page.live,
        "runs": page.runs,
        "records": {record.id: _record(record, parts) for record in page.records},
        "tables": {view.name: _table(view) for view in page.views},
        "cells": {key: cell for view in page.views for key, cell in _cells(view, page)},
        "jobs": {job.id: _job(job, parts) for job in page.jobs.values()},
        "copies": {view.name: {format: render([view], format) for format in COPIED} for view in page.views},
        "tips": tips,
        "figures": [_figure(figure) for figure in page.figures],
    }
    text = f'{{"parts":[{",".join(parts.texts)}],{as_text(content)[1:]}'
    return text.replace("<", "\\u003c")


class _Parts:
    """Values that are referred to by number: most records of a folder share settings, machine, versions, videos."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def add(self, value: Any) -> int:
        text = as_text(value)
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return self._numbers[text]


def _record(record: Record, parts: _Parts) -> dict[str, int]:
    found = {}
    for name in (item.name for item in fields(record) if item.name != "id"):
        value = getattr(record, name)
        if name in NESTED:
            value = {key: parts.add(one) for key, one in value.items() if key != ANSWERS}
        if name == "skipped" and len(value) > SKIPPED_MOST:
            value = [
                *value[:SKIPPED_MOST],
                {"video": f"and {len(value) - SKIPPED_MOST} more", "reason": "see the file"},
            ]
        found[name] = parts.add(value)
    return found


def _table(view: TableView) -> dict[str, Any]:
    return {"title": view.title, "rows": view.rows, "columns": view.columns}


def _cells(view: TableView, page: Page) -> Iterable[tuple[str, dict[str, Any]]]:
    for key, entry in cell_ids(view):
        cell = {
            "metric": entry.metric,
            "change" if entry.signed else "value": f"{entry.measured_text} {entry.spread_text}".strip(),
            "published": entry.published_text(),
            "difference": entry.difference_text,
            "status": entry.word,
            "remark": entry.remark,
            "inferred": entry.inferred,
            "record": entry.record,
            "runs": entry.runs,
            "job": page.attempts.get((view.name, entry.row, entry.column)),
        }
        yield key, {name: value for name, value in cell.items() if value}


def _figure(figure: Figure) -> dict[str, Any] | None:
    """What the page's script draws; the frames themselves are images in the page."""
    if figure.content is None:
        return None
    return {**figure.content, "slots": [{"frame": slot["frame"]} for slot in figure.content["slots"]]}


def _job(job: Job, parts: _Parts) -> dict[str, Any]:
    return asdict(job) | {"logs": [parts.add(asdict(log)) for log in job.logs]}
