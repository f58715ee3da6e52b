"""Video sets that are made on the spot from seeds alone, the same bytes everywhere, and how one knows that they are."""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from jobs.data.encoding import encode
from results.files import replacing


@dataclass(frozen=True)
class Video:
    """One video of a split, and the seed of all that it shows beside its class."""

    split: str
    index: int
    label: int
    path: str
    """Relative to the root of the set."""
    seed: tuple[int, int]


@dataclass(frozen=True)
class GeneratedSet:
    """A set of videos, the same number of every class."""

    version: str
    """Names the set: it changes whenever a byte of any video would."""
    classes: tuple[str, ...]
    sizes: dict[str, int]
    """Videos a split."""
    module: str
    """The module whose `pixels` renders a video, uint8 (F, H, W, 3), whose CRF is its quality, and beside which a file
    of the same name, .sha256, has the digest of every file of the set, as `sha256sum` writes them."""

    def videos(self, split: str) -> list[Video]:
        """Every video of a split, in the order of its label file. ValueError on an unknown split."""
        if split not in self.sizes:
            raise ValueError(f"no split {split!r}: choose from {', '.join(sorted(self.sizes))}")
        number, classes = sorted(self.sizes).index(split), self.classes
        return [
            Video(split, k, k % len(classes), f"{split}/{classes[k % len(classes)]}/{k:05d}.mp4", (number, k))
            for k in range(self.sizes[split])
        ]

    @property
    def digests(self) -> Path:
        """The file of digests."""
        name = self.module.rpartition(".")[2]
        return Path(__file__).with_name(f"{name}.sha256")

    def generate(self, root: Path, split: str, workers: int = 2, report: Callable[[str], None] | None = None) -> Path:
        """Make what is missing of a split under `root`; returns its label file, `root`/<split>.txt.

        Every file appears whole or not at all and the label file comes last, so an interrupted generation resumes where
        it was. A label file that is there is kept as it is: it may have been corrected. Before it comes
        `root`/<split>.edition, which says what `edition_of` does and is rewritten if that has changed. ValueError
        where `root` holds another version of the set; RuntimeError where a worker failed (its traceback is on stderr).
        """
        wanted = self.videos(split)
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        root = root.absolute()
        self._stamp(root)
        missing = [video for video in wanted if not (root / video.path).exists()]
        if missing:
            if report:
                report(f"making {len(missing)} of {len(wanted)} {split} videos in {root}")
            share_out(self.module, root, missing, workers)
        edition = self.edition_of(root, split)
        if report and edition != self.version:
            report(f"the {split} videos are {edition}; values measured on them are marked")
        said = root / f"{split}.edition"
        if not said.exists() or said.read_bytes() != f"{edition}\n".encode():
            _write(said, edition + "\n")
        labels = root / f"{split}.txt"
        if not labels.exists():
            _write(labels, "".join(f"{video.path} {video.label}\n" for video in wanted))
        return labels

    def edition_of(self, root: Path, split: str) -> str:
        """The version of the set where all videos of a split are byte for byte those that the package names; where
        others were made, by another encoder say, the version, how many, and a digest of them all."""
        known = set(self.digests.read_text().splitlines())
        found = {one.path: hashlib.sha256((root / one.path).read_bytes()).hexdigest() for one in self.videos(split)}
        others = sum(f"{digest}  {path}" not in known for path, digest in found.items())
        if not others:
            return self.version
        whole = hashlib.sha256("".join(found.values()).encode()).hexdigest()
        return f"{self.version} with {others} of {len(found)} videos other than the package's (sha256 {whole[:12]})"

    def main(self, argv: list[str] | None = None) -> int:
        """The command line of the set's module."""
        prog = f"python -m {self.module}"
        parser = argparse.ArgumentParser(prog=prog, description=f"Generate the videos of {self.version}.")
        parser.add_argument("root", type=Path, help="folder of the set; existing files are kept")
        parser.add_argument("--split", choices=sorted(self.sizes), action="append", help="default: val")
        parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
        options = parser.parse_args(argv)
        try:
            for split in options.split or ["val"]:
                print(self.generate(options.root, split, options.workers, report=print))
        except (ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130
        return 0

    def _stamp(self, root: Path) -> None:
        """Mark `root` with the version of the set, so that two versions never mix in one folder."""
        root.mkdir(parents=True, exist_ok=True)
        stamp = root / "VERSION"
        if not stamp.exists():
            _write(stamp, self.version + "\n")
        elif (found := stamp.read_text().strip()) != self.version:
            raise ValueError(f"{root} holds {found}, and this is {self.version}: choose another folder or delete it")


def _write(file: Path, text: str) -> None:
    with replacing(file) as beside:
        beside.write_text(text)


def share_out(module: str, root: Path, missing: list[Video], workers: int) -> None:
    """Make videos in `workers` processes."""
    # Fixed shares rather than a queue: the videos cost the same, and nothing is left waiting on a queue
    # when the parent is killed.
    context = multiprocessing.get_context("spawn")
    shares = [missing[k::workers] for k in range(min(workers, len(missing)))]
    processes = [context.Process(target=make, args=(module, root, share, os.getpid())) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if failed := [process.exitcode for process in processes if process.exitcode]:
        raise RuntimeError(f"{len(failed)} of {len(processes)} workers failed (exit codes {failed})")


def make(module: str, root: Path, share: list[Video], parent: int) -> None:
    """Make videos in this process, while `parent` lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and that ends this one
    source = import_module(module)
    for video in share:
        if os.getppid() != parent:
            return
        encode(source.pixels(video), root / video.path, crf=source.CRF)
