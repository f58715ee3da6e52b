"""The files that jobs read, and how they are told apart. Imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkpoint:
    """A weights file or folder, as it was found when the job was planned."""

    path: str
    size: int
    """Bytes; the cheap proof, with `modified_ns`, that it is still the same."""
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> "Checkpoint":
        """The weights at `path` as they are now; OSError where there are none."""
        files = [path] if path.is_file() else [one for one in path.iterdir() if one.is_file()]
        found = [file.stat() for file in files]
        return cls(str(path), sum(one.st_size for one in found), max((one.st_mtime_ns for one in found), default=0))


@dataclass(frozen=True)
class Dataset:
    """A list of labelled videos and how clips are taken from them (protocol: section "Evaluation")."""

    name: str
    labels: str
    """Path of the label file, `<path> <label>` a line."""
    labels_sha256: str
    root: str
    """Folder to which the label file's relative paths belong."""
    num_classes: int
    sampling: str
    """`kinetics` (dense) or `ssv2` (segments)."""
    stride: int
    """Every how many frames one is taken; dense sampling only."""
