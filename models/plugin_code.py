"""Code that is not ours: where it lies, what its digest is, and which of its lines an error is in. Loads no torch."""

import ast
import hashlib
import os
import traceback
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent


def file_of(thing: Any) -> Path:
    """The file in which a class or a function was written; for a method of ours, ours."""
    from sys import modules

    return Path(str(modules[thing.__module__].__file__))


def is_plugin(thing: Any) -> bool:
    """Whether a class or a function was written by a user."""
    return not _is_ours(file_of(thing))


@cache
def _is_ours(file: Path) -> bool:
    return file.is_relative_to(PACKAGE)


def digest_of(file: Path) -> str:
    """A short digest of a file and of those in its folder that it imports, and so on."""
    return _digest(tuple(sorted(_with_imports(os.fspath(file)).items())))


@cache
def _digest(files: tuple[tuple[str, tuple[int, int]], ...]) -> str:
    contents = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path, _ in files]
    return hashlib.sha256("".join(contents).encode()).hexdigest()[:12]


def _with_imports(file: str) -> dict[str, tuple[int, int]]:
    """The files, each with when it changed and its size. Looked at for every cell of a table, so by plain system
    calls."""
    found: dict[str, tuple[int, int]] = {}
    open_files = [file]
    while open_files:
        one = open_files.pop()
        if one not in found:
            stat = os.stat(one)
            found[one] = stat.st_mtime_ns, stat.st_size
            open_files += [os.path.realpath(path) for path in _sources(one, *found[one]) if os.path.isfile(path)]
    return found


@cache
def _sources(file: str, changed: int, size: int) -> tuple[str, ...]:
    """Where in a file's folder that could be which it imports, and the packages around it."""
    folder = os.path.dirname(file)
    beside = [os.path.join(folder, name) for name in _imported(Path(file))]
    return tuple(source for path in beside for source in (f"{path}.py", os.path.join(path, "__init__.py")))


def _imported(file: Path) -> tuple[str, ...]:
    """Paths, from a file's folder, of what it imports and of the packages around that, be they there or not."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return ()
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = f"{node.module}." if node.module else ""
            names = [(node.level, module + alias.name) for alias in node.names]
        else:
            continue
        for level, name in names:
            parts, above = name.split("."), "../" * max(level - 1, 0)
            found += [above + "/".join(parts[:k]) for k in range(1, len(parts) + 1)]
            found += parts[-2:]  # of a package of which the file is a part
    return tuple(dict.fromkeys(found))


def fault(error: Exception, file: Path, line: int = 0) -> ValueError:
    """An error of a user's code as one line that says where: in the deepest of the file's lines that it went through,
    else in `line`."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename) == file:
        lines.append(error.lineno)
    if isinstance(error, Misuse) and error.line:
        lines.append(error.line)
    what = str(error) if isinstance(error, Misuse) else f"{type(error).__name__}: {error}".removesuffix(": ")
    return ValueError(f"{file}, line {(lines or [line])[-1] or line}: {' '.join(what.split())}")


def line_of(function: Callable[..., Any]) -> int:
    """The line in which a function begins."""
    return int(function.__code__.co_firstlineno)


def own(method: type, names: Iterable[str]) -> Callable[..., Any] | None:
    """The first of a class's functions of these names that it, or a class of a user's above it, defines itself."""
    for one in method.__mro__:
        for name in names:
            if name in vars(one) and one.__module__ != "builtins" and is_plugin(one):
                return vars(one)[name]
    return None


class Misuse(ValueError):
    """What a user's code does that the contract rules out; the message is the whole of what there is to say, and `line`
    where that is, if it is known better than by where the error was raised."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line
