"""The files that jobs read, and how they are distinguished: by content, never by path. Imports nothing heavy."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from models.weights_files import split_part, weights_files
from results.digests import content_sha256


@dataclass(frozen=True)
class Checkpoint:
    """A weights file or folder, as it was found when the job was planned."""

    path: str
    sha256: str
    """sha256 of its content, and of which of several state dicts in it is meant; empty if it could not be read."""

    @classmethod
    def of(cls, path: Path, runs: Path | None = None) -> "Checkpoint":
        """The weights at `path` as they are now, their digest kept in `runs`; OSError where there are none."""
        files = weights_files(path)
        if not files:
            raise FileNotFoundError(2, "no weights in this folder", str(path))
        digest = content_sha256(files, runs)
        if part := split_part(path)[1]:
            digest = sha256(f"{digest}#{part}".encode()).hexdigest()
        return cls(str(path), digest)


NO_WEIGHTS = Checkpoint("", "")
"""Where a model has random weights, or those of a training that has not ended."""


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
    classes: str = ""
    """Path of the list of the classes' names, where the labels are names; `labels_sha256` is then of both files."""
    edition: str = ""
    """What generated videos are, by the module that made them; empty for others."""
    weights_stride: int = 0
    """The stride of the clips that the weights were trained on, where it is meant to be another; 0: the same."""

    @property
    def lists(self) -> list[Path]:
        """The files that say which videos there are, and of which class."""
        return [Path(one) for one in (self.labels, self.classes) if one]

    @property
    def trained_stride(self) -> int | None:
        """The stride that weights must have been trained with, where clips are taken by it."""
        return (self.weights_stride or self.stride) if self.sampling == "kinetics" else None


def edition_of(labels: Path) -> str:
    """What the module that made the videos of a label file has left beside it; empty where it has left nothing, and
    where that cannot be read, words that say so."""
    path = labels.with_suffix(".edition")
    try:
        return path.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError):
        return f"of an edition that cannot be read from {path.name}"


def shown_videos(video: str, videos: int) -> str:
    """Which videos a figure shows, as its record says it."""
    return video or f"{videos} of its label file"
