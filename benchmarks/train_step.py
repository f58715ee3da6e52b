"""Training steps of ViT-B with and without STA: time against FLOPs, and peak memory with and without checkpointing.

    python -m benchmarks.train_step [--device cuda] [--dtype fp16,bf16] [--clips 4 8 32] [--rounds 3] [--cpu-time]

A step is forward, loss, backward and AdamW through plain torch. In fp16 and bf16 the whole model is converted and AdamW
keeps fp32 masters, as DeepSpeed does. Each model has a process of its own, and so a peak memory of its own (allocated
on a GPU, resident on a CPU); their steps take turns, so that whatever else the machine does weighs on both. The first
step, with activation checkpointing, warms up and is not timed; times and ratios are medians over the rounds.
The paper's micro-batch is 4 videos, which repeated augmentation makes 8 clips.
"""

import argparse
import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from statistics import median

import torch
import torch.nn.functional as F
from tabulate import tabulate

from benchmarks.forward import DTYPES, seconds
from models import count_flops, create_model

MODEL = "vit_base"
REDUCTIONS = ("none", "sta:r=48")


_step: "Step"  # of a process that measures


class Step:
    """A training step on random clips."""

    def __init__(self, reduction: str, device: str, dtype: torch.dtype, clips: int, model: str = MODEL) -> None:
        torch.manual_seed(0)
        self.device = device
        self.model = create_model(model, reduction).to(device, dtype).train()
        self.masters = [weight.detach().float() for weight in self.model.parameters()]
        self.optimizer = torch.optim.AdamW(self.masters, lr=1e-5)
        arch = self.model.arch
        self.clips = torch.randn(clips, 3, arch.frames, arch.image, arch.image).to(device, dtype)
        self.labels = torch.randint(self.model.num_classes, (clips,)).to(device)

    def run(self) -> None:
        F.cross_entropy(self.model(self.clips).float(), self.labels).backward()
        with torch.no_grad():
            pairs = list(zip(self.masters, self.model.parameters(), strict=True))
            for master, weight in pairs:
                assert weight.grad is not None
                master.grad, weight.grad = weight.grad.float(), None
            self.optimizer.step()
            for master, weight in pairs:
                weight.copy_(master)
                master.grad = None

    def peak_gib(self) -> float:
        """Of this process until now; on a GPU, since it was last asked for."""
        if not self.device.startswith("cuda"):
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        peak = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return peak / 2**30


def _start(reduction: str, device: str, dtype: torch.dtype, clips: int, threads: int) -> float:
    """Make this process's step and run it once with activation checkpointing; returns its peak memory."""
    global _step
    torch.set_num_threads(threads)
    _step = Step(reduction, device, dtype, clips)
    # First, because a process's peak never falls.
    _step.model.activation_checkpointing = True
    _step.run()
    _step.model.activation_checkpointing = False
    return _step.peak_gib()


def _time() -> float:
    return seconds(_step.run, _step.device)


def _peak() -> float:
    return _step.peak_gib()


def measure(device: str, dtype: torch.dtype, clips: int, rounds: int, threads: int) -> list[str]:
    """Seconds of both, speed-up, its share of the FLOPs ratio, and peak memory without and with checkpointing."""
    with ExitStack() as stack:
        spawn = multiprocessing.get_context("spawn")
        pools = [stack.enter_context(ProcessPoolExecutor(1, spawn)) for _ in REDUCTIONS]
        lower = [
            pool.submit(_start, reduction, device, dtype, clips, threads).result()
            for pool, reduction in zip(pools, REDUCTIONS, strict=True)
        ]
        times = [[pool.submit(_time).result() for pool in pools] for _ in range(rounds)]
        higher = [pool.submit(_peak).result() for pool in pools]
    speedup = median(plain / reduced for plain, reduced in times)
    with torch.device("meta"):
        plain, reduced = (count_flops(create_model(MODEL, reduction)) for reduction in REDUCTIONS)
    medians = [median(column) for column in zip(*times, strict=True)]
    return [
        *(f"{value:.3g}" for value in medians),
        f"{speedup:.2f}",
        f"{plain / reduced:.2f}",
        f"{speedup * reduced / plain:.2f}",
        *(f"{value:.1f}" for value in (*higher, *lower)),
    ]


HEADERS = ["", "s, r=0", "r=48", "speed-up", "FLOPs ratio", "speed-up / it", "GiB, r=0", "r=48", "ckpt, r=0", "r=48"]
LEGEND = """speed-up / FLOPs ratio is to be at least 0.9
GiB: peak memory, all that a process takes; ckpt: the same with activation checkpointing"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_step", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", help="of fp32, fp16, bf16, separated by commas (fp16,bf16 on a GPU, else fp32)")
    parser.add_argument("--clips", type=int, nargs="+", help="clips in a step (4, 8 and 32 on a GPU, else 2)")
    parser.add_argument("--rounds", type=int, help="timed steps of each (10 on a GPU, else 3)")
    parser.add_argument("--cpu-time", action="store_true", help="CPU time of one thread, where others use the machine")
    options = parser.parse_args()
    on_gpu = options.device.startswith("cuda")
    rounds = options.rounds or (10 if on_gpu else 3)
    threads = 1 if options.cpu_time else torch.get_num_threads()
    rows = [
        [f"{name}, {clips} clips", *measure(options.device, DTYPES[name], clips, rounds, threads)]
        for name in (options.dtype or ("fp16,bf16" if on_gpu else "fp32")).split(",")
        for clips in options.clips or ([4, 8, 32] if on_gpu else [2])
    ]
    if on_gpu:
        where = torch.cuda.get_device_name()
    else:
        where = "CPU time of 1 thread" if options.cpu_time else f"{threads} CPU threads"
    print(f"{MODEL}, {REDUCTIONS[1]}, {where}, torch {torch.__version__}, rounds: {rounds}\n")
    print(tabulate(rows, HEADERS, tablefmt="github", disable_numparse=True))
    print(f"\n{LEGEND}")


if __name__ == "__main__":
    main()
