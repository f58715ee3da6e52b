"""A user's own methods, models and metrics: files, folders and installed packages that register them.

Loading a file enters what it registers under its name everywhere: in tables, on nodes, in trainings and reports.
Loads no torch, unless a file does.
"""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from models.catalog import ARCHITECTURES
from models.plugin_code import digest_of, fault
from models.reduction._base import REGISTRY
from results.metrics import METRICS

GROUP = "harness.plugins"
"""The group of entry points under which installed packages name their modules."""

_origins: dict[tuple[str, str], Path] = {}
"""By kind and name, the file in which a model or a metric was registered."""
_loaded: set[str] = set()
"""The paths of files, and names of entry points, that were loaded."""


def load_plugins(paths: Iterable[str | Path]) -> None:
    """Load the plugins in these files and folders, and those of installed packages, each once. ValueError, one line
    that names file and line, where one cannot be."""
    for path in paths:
        for file in _files(Path(path)):
            _load(str(file), file, None)
    for point in entry_points(group=GROUP):
        _load(point.value, None, point)


def loaded_files() -> list[str]:
    """The files that were loaded here by their paths, for a process that is to know the same."""
    return sorted(key for key in _loaded if Path(key).is_absolute())


def plugin_digest(model: str, metric: str) -> str:
    """A digest of the files in which a user registered this model or this metric; empty where both are ours. A method
    has a digest of its own."""
    files = [_origins[key] for key in (("model", model), ("metric", metric)) if key in _origins]
    if ("model", model) in _origins and (network := _beside(_origins["model", model], ARCHITECTURES[model].made_by)):
        files.append(network)
    return "-".join(digest_of(file) for file in files)


def _beside(file: Path, made_by: str) -> Path | None:
    """The file beside `file` that has the network which `made_by` names; None where it lies elsewhere."""
    path = file.parent / made_by.partition(":")[0].replace(".", "/")
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if made_by and one.is_file()), None)


def _files(path: Path) -> list[Path]:
    if path.is_file() and path.suffix == ".py":
        return [path.resolve()]
    found = sorted(one.resolve() for one in path.glob("*.py") if not one.name.startswith("_")) if path.is_dir() else []
    if not found:
        raise ValueError(f"plugin {path}: a Python file, or a folder of them, is needed; see [plugins] and --plugin")
    return found


def _load(key: str, file: Path | None, point: EntryPoint | None) -> None:
    if key in _loaded or (file and _is_imported(file)):
        return
    before = {"model": set(ARCHITECTURES), "metric": set(METRICS), "reduction": set(REGISTRY)}
    try:
        if point:
            point.load()
        else:
            assert file
            _run(file)
    except Exception as error:
        _withdraw(before)
        if file is None:
            raise ValueError(f"plugin {key} of an installed package: {type(error).__name__}: {error}") from error
        raise fault(error, file) from error
    _loaded.add(key)
    for kind, names in (("model", ARCHITECTURES), ("metric", METRICS)):
        for name in set(names) - before[kind]:
            _origins[kind, name] = file or Path(str(sys.modules[key.partition(":")[0]].__file__))


def _is_imported(file: Path) -> bool:
    """Whether another plugin has imported the file already, by its name."""
    module = sys.modules.get(file.stem)
    found = getattr(module, "__file__", None)
    return found is not None and Path(found).resolve() == file


def _run(file: Path) -> None:
    """Import a file under its own name, apart from modules of the same name; its folder is searched last."""
    name = f"harness_plugin_{hashlib.sha256(os.fsencode(file)).hexdigest()[:12]}.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _withdraw(before: dict[str, set[str]]) -> None:
    """Take back what a file registered that then failed."""
    for kind, names in (("model", ARCHITECTURES), ("metric", METRICS), ("reduction", REGISTRY)):
        for name in set(names) - before[kind]:
            del names[name]
