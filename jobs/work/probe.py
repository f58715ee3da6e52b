"""A trial on a node, before many tasks wait on it: what the node has, and whether it can do what tasks will do.

Each of its processes writes what it finds to `found-RANK.json` in the trial's folder, again at every step, so that one
that hangs says where.
"""

import platform
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs.node.gpu_code import missing_code
from results.files import read_json, write_json
from results.provenance import cores, node_name

DECODE_S = 60.0
"""How long one video may take."""


def run_trial(folder: str) -> None:
    """Do what `trial.json` in `folder` asks for: `processes`, `gpus` of each, and a `video` to decode, or "" for one
    made on the spot. Raises OSError where the folder cannot be read or written."""
    from submitit import JobEnvironment

    asked = read_json(Path(folder) / "trial.json")
    job = JobEnvironment()
    found: dict[str, Any] = {"wrong": {}}
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("machine", _machine),
        ("video", lambda: _decode(Path(folder), asked["video"], job.global_rank)),
        ("torch", _torch),
        ("name", lambda: _resolve(job.hostnames[0])),
    ]
    if asked["processes"] > 1:
        steps.append(("meeting", lambda: _meet(asked["processes"])))
    for name, step in [*steps, ("done", dict)]:
        found["step"] = name
        write_json(Path(folder) / f"found-{job.global_rank}.json", found, durable=False)
        try:
            found[name] = step()
        except Exception as error:
            found["wrong"][name] = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _machine() -> dict[str, Any]:
    return {"host": node_name(), "python": platform.python_version(), "cores": cores()}


def _decode(folder: Path, video: str, rank: int) -> dict[str, Any]:
    """Decode a video as evaluations do; ValueError where it cannot be read."""
    from jobs.data.decoding.faults import Unreadable
    from jobs.data.demo import render
    from jobs.data.encoding import encode
    from jobs.data.pool import DecodePool
    from jobs.data.requests import ClipRequest
    from jobs.spec.sampling import sampling

    if not video:
        made = folder / f"video-{rank}.mp4"
        encode(render("left", "squares", (0,)), made)
    start = time.monotonic()
    with DecodePool(1, DECODE_S) as pool:
        request = ClipRequest(sampling("videomae", "kinetics", 16, 4), ("1x1",), 224)
        answer = pool.submit(video or str(made), request).result()
    if isinstance(answer, Unreadable):
        raise ValueError(f"{video or 'a video made there'}: {answer}")
    return {"frames": answer.num_frames, "seconds": time.monotonic() - start}


def _torch() -> dict[str, Any]:
    """PyTorch and the GPUs that it sees here, after a product on the first; ValueError where it has no code for one."""
    import torch

    gpus = []
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        major, minor = torch.cuda.get_device_capability(number)
        arch = f"sm_{major}{minor}"
        if problem := missing_code(arch, torch.__version__, torch.cuda.get_arch_list()):
            raise ValueError(f"its GPU is of {arch}, and {problem}")
        gpus.append({"name": torch.cuda.get_device_name(number), "arch": arch})
    ones = torch.ones(64, 64, device="cuda" if gpus else "cpu")
    if (product := (ones @ ones).mean().item()) != 64:
        raise ValueError(f"a product of ones is {product}, not 64")
    return {"version": torch.__version__, "cuda": torch.version.cuda, "gpus": gpus}


def _resolve(name: str) -> str:
    """The address of the node on which the processes of a training meet; ValueError where it has none."""
    try:
        return str(socket.getaddrinfo(name, None)[0][4][0])
    except OSError as error:
        raise ValueError(f"{name} does not resolve: {error.strerror}") from None


def _meet(processes: int) -> list[str]:
    """The hosts of all processes, after they have added numbers on their devices as trainings do."""
    import torch

    from jobs.node.gang import join

    with join(processes) as gang:
        hosts = gang.gather(_machine()["host"])
        mean = gang.mean(torch.tensor(float(gang.rank), device=gang.device))
    if mean != (processes - 1) / 2:
        raise ValueError(f"the mean of the ranks of {processes} processes is {mean}")
    return hosts
