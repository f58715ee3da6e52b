"""The states from which an interrupted training resumes: each a folder that is whole or not there.

A state is written under a name that is never read, and renamed when every process has its part on the disk. The newest
two are kept, so that a damaged one has a predecessor.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.files import private_folder, read_json, write_json

if TYPE_CHECKING:
    from jobs.node.gang import Gang

KEPT = 2
"""States that stay; while one is written, there is one more."""


class RestartStore:
    """The states of one training in `folder`, shared by its processes; every method must be called in all of them."""

    def __init__(self, folder: Path, gang: Gang) -> None:
        self.folder = folder
        self.gang = gang

    def save(self, engine: Any, step: int, position: dict[str, Any]) -> str:
        """Keep the engine's state and `position`, plain data, after `step` steps; "", or what kept it from being kept.

        What was kept before stays until this is whole.
        """
        name = f"step-{step:09d}"
        beside = self.folder / f".{name}"
        problem = ""
        if self.gang.rank == 0:
            try:
                shutil.rmtree(beside, ignore_errors=True)
                private_folder(beside)
            except OSError as error:
                problem = error.strerror or str(error)
        if problem := self._first(problem):
            return problem
        engine.checkpoint_engine.failures.clear()
        engine.save_checkpoint(str(self.folder), tag=beside.name, save_latest=False)
        problem = next(iter(engine.checkpoint_engine.failures), "")
        if not (problem := self._first(problem)) and self.gang.rank == 0:
            try:
                sizes = {file.name: file.stat().st_size for file in beside.iterdir()}
                write_json(beside / "whole.json", {"step": step, "position": position, "files": sizes})
                shutil.rmtree(self.folder / name, ignore_errors=True)
                os.replace(beside, self.folder / name)
            except OSError as error:
                problem = error.strerror or str(error)
        problem = self._first(problem)
        if self.gang.rank == 0:
            shutil.rmtree(beside, ignore_errors=True)
            for old in [] if problem else self._names()[:-KEPT]:
                shutil.rmtree(self.folder / old, ignore_errors=True)
        return problem

    def load(self, engine: Any) -> tuple[dict[str, Any] | None, list[str]]:
        """Put the engine into the newest whole state and return its position, None if there is none; and a line for
        each newer state that is damaged."""
        names = self.gang.gather(self._names())[0]
        refused: list[str] = []
        for name in reversed(names):
            content, problem = self._read(name)
            if not (problem := self._first(problem)):
                problem = self._first(self._put_into(engine, name))
            if not problem:
                return content["position"], refused
            refused.append(f"the kept state {name} is damaged and set aside: {problem}")
        return None, refused

    def _put_into(self, engine: Any, name: str) -> str:
        """Load a state; "", or why that cannot be. A damaged file can make the reader raise anything."""
        try:
            # The schedule is a function of the step.
            engine.load_checkpoint(str(self.folder), tag=name, load_lr_scheduler_states=False)
        except Exception as error:
            return f"{type(error).__name__} while reading"
        return ""

    def _read(self, name: str) -> tuple[dict[str, Any], str]:
        try:
            content = read_json(self.folder / name / "whole.json")
            sizes = content["files"]
            wrong = [file for file, size in sizes.items() if (self.folder / name / file).stat().st_size != size]
            return content, f"{wrong[0]} has another size" if wrong else ""
        except (OSError, ValueError, KeyError, AttributeError) as error:
            return {}, str(error) or type(error).__name__

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.folder) if re.fullmatch(r"step-\d{9,}", name))
        except FileNotFoundError:
            return []

    def _first(self, problem: str) -> str:
        """The first process's problem, the same answer in all."""
        return next((one for one in self.gang.gather(problem) if one), "")
