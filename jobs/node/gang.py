"""The processes of a training as one: how they find each other, and what they agree on between steps."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from jobs.node.device import pick_device
from results.progress import PEER_LOST

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others before it gives up. Over gloo one that dies is noticed at once; over NCCL,
where nothing interrupts the waiting, SLURM kills all when one fails (srun --kill-on-bad-exit, after KillWait)."""


@dataclass(frozen=True)
class Gang:
    """This process among the others. `rank` is counted from 0, of `processes`."""

    rank: int
    processes: int
    device: torch.device

    def agree(self, flags: Sequence[bool] | np.ndarray) -> np.ndarray:
        """Which of the flags are set in any process; bool, as many as given, which must be the same number in all."""
        together = torch.tensor(np.asarray(flags), dtype=torch.uint8)
        dist.all_reduce(together, dist.ReduceOp.MAX)
        return together.numpy().astype(bool)

    def gather(self, value: Any) -> list[Any]:
        """The plain values of all processes, in order of rank."""
        found: list[Any] = [None] * self.processes
        dist.all_gather_object(found, value)
        return found

    def mean(self, value: Tensor) -> float:
        """The mean over all processes of a number on the device; waits for the device."""
        together = value.detach().float().clone()
        dist.all_reduce(together)
        return together.item() / self.processes

    def barrier(self) -> None:
        """Return when all processes are here."""
        self.agree([False])


class PeerLost(ConnectionError):
    """Another process of the gang has ended; its own log says why."""


@contextmanager
def join(processes: int) -> Iterator[Gang]:
    """Meet the others: under submitit, under torchrun, or alone.

    ValueError where they are not `processes` many, PeerLost in any call that waits for one that has ended.

    Plain values and flags travel over gloo also where gradients travel over NCCL.
    """
    _find_each_other()
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if world != processes:
        raise ValueError(f"this training was planned for {processes} processes, and {world} were started")
    device = pick_device()
    # As DeepSpeed would otherwise guess, from the packages that are installed.
    os.environ["DS_ACCELERATOR"] = device.type
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield Gang(rank, world, device)
    except RuntimeError as error:
        if re.search(r"[Cc]onnection (closed|reset) by peer|[Rr]emote process exit|Broken pipe", str(error)):
            raise PeerLost(f"{PEER_LOST}, so this one cannot continue") from error
        raise
    finally:
        dist.destroy_process_group()


def _find_each_other() -> None:
    """Set the variables by which torch.distributed meets, unless a launcher has."""
    if "SUBMITIT_EXECUTOR" in os.environ:
        from submitit.helpers import TorchDistributedEnvironment

        TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        if os.environ["SUBMITIT_EXECUTOR"] == "local":
            os.environ["MASTER_ADDR"] = "127.0.0.1"  # a laptop's own name may not resolve
    elif "RANK" not in os.environ:
        alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
        os.environ.update(alone)
