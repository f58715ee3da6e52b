"""The line in /etc/hosts by which the nodes of a test cluster are found, and the lock that goes with it.

torch's processes meet at the name of the first node, so node names must resolve.
"""

import contextlib
import fcntl
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.slurm.config import NODES
from tests.slurm.daemons import wait

HOSTS = Path("/etc/hosts")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Nobody else starts or ends a cluster meanwhile: ports are chosen and hosts written by one at a time."""
    with HOSTS.open() as file:

        def locked() -> bool:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            return False

        wait(locked, lambda: "another cluster is being started or ended all the time", 300)
        yield


def add(folder: Path) -> None:
    """Name the nodes of the cluster in `folder`. OSError where their names belong to other machines."""
    text = HOSTS.read_text()
    # Written in place: in a container the file is a mount of its own, which nothing can be moved to.
    HOSTS.write_text(f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{_line(folder)}")
    for name in NODES:
        if not (address := socket.gethostbyname(name)).startswith("127."):
            raise OSError(f"{name} is {address} on this machine already; the cluster's nodes need that name")


def remove(folder: Path) -> None:
    """Take the line of the cluster in `folder` out again, if it is there."""
    text = HOSTS.read_text()
    if (line := _line(folder)) in text:
        HOSTS.write_text(text.replace(line, ""))


def _line(folder: Path) -> str:
    return f"127.0.0.1 {' '.join(NODES)} # SLURM for tests, {folder}\n"
