"""A Video Swin's forward pass beside torchvision's own, and where its time goes.

    python -m benchmarks.swin [--model swin3d_t] [--reductions none sta:r=256] [--batch 1] [--dtype fp32]

Each repeat times torchvision's model and ours, without and with a reduction, one after the other, so that whatever else
the machine does weighs on all; ratios are medians over the repeats. The parts are of a profile of one pass each.
"""

import argparse
import os
from collections import Counter
from collections.abc import Iterable
from statistics import median

import torch
from tabulate import tabulate
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torchvision.models.video import swin_transformer

from benchmarks.forward import DTYPES, seconds, timed_stages
from models import count_flops, create_model
from models.catalog import VideoSwin, architecture

PARTS = {
    "linear layers": ("addmm", "mm", "linear"),
    "attention": ("_scaled_dot_product", "bmm", "_softmax", "baddbmm"),
    "LayerNorm and GELU": ("native_layer_norm", "gelu"),
    "moving rows": ("index", "copy_", "roll", "cat", "gather", "scatter", "clone", "pad", "index_select"),
}
"""Operators by what they are for; the rest is biases, masks, residuals and the choice."""


def torchvisions(arch: VideoSwin, state: dict[str, Tensor]) -> nn.Module:
    """torchvision's model of the same sizes and weights."""
    patch, levels = [arch.tubelet, arch.patch, arch.patch], arch.levels
    depths, heads = [level.depth for level in levels], [level.heads for level in levels]
    model = swin_transformer.SwinTransformer3d(patch, levels[0].dim, depths, heads, list(arch.window))
    model.load_state_dict(state, strict=False)
    return model


def parts_of(model: nn.Module, clips: Tensor) -> dict[str, float]:
    """Milliseconds of one forward pass by part, each operator's own time."""
    on_gpu = clips.is_cuda
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as found:
        model(clips)
    spent: Counter[str] = Counter()
    for event in found.key_averages():
        name = event.key.removeprefix("aten::")
        part = next((part for part, names in PARTS.items() if name.startswith(names)), "the rest")
        spent[part] += (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1000
    return dict(spent)


def measure(name: str, clips: Tensor, reductions: Iterable[str], repeats: int) -> str:
    """Both tables."""
    device, dtype = str(clips.device), clips.dtype
    model = create_model(name).to(device, dtype).eval()
    theirs = torchvisions(model.arch, model.state_dict()).to(device, dtype).eval()
    times: dict[str, list[float]] = {"torchvision": [], **{one: [] for one in reductions}}
    shares: dict[str, list[float]] = {one: [] for one in reductions}
    for repeat in range(repeats + 1):  # the first warms up
        for one, spent in times.items():
            if one != "torchvision":
                model.set_reduction(one)
            network = theirs if one == "torchvision" else model
            with timed_stages(device) as stages:
                took = seconds(lambda: network(clips), device)  # noqa: B023
            if repeat:
                spent.append(took)
                if one != "torchvision":
                    shares[one].append(sum(stages) / took)
    rows, works = [], {}
    for one, spent in times.items():
        model.set_reduction("none" if one == "torchvision" else one)
        works[one] = count_flops(model)
        faster = median(a / b for a, b in zip(times["torchvision"], spent, strict=True))
        first = times[next(iter(reductions))]
        ours = median(a / b for a, b in zip(first, spent, strict=True))
        fewer = works["torchvision"] / works[one]
        share = f"{100 * median(shares[one]):.1f} %" if one in shares else ""
        rows.append([one, f"{median(spent):.3f}", f"{works[one] / 1e9:.1f}", f"{faster:.2f}", f"{ours:.2f}",
                     f"{fewer:.2f}", f"{ours / fewer:.2f}", share])  # fmt: skip
    heads = ["", "forward s", "GFLOPs", "times torchvision", "faster than ours", "fewer FLOPs", "of that", "choice"]
    found = {"torchvision": parts_of(theirs, clips)}
    for one in reductions:
        model.set_reduction(one)
        found[one] = parts_of(model, clips)
    parts = [*PARTS, "the rest"]
    lines = [[part, *(f"{of.get(part, 0):.0f}" for of in found.values())] for part in parts]
    lines.append(["in all", *(f"{sum(of.values()):.0f}" for of in found.values())])
    tables = tabulate(rows, heads, disable_numparse=True), tabulate(lines, ["ms", *found], disable_numparse=True)
    return "\n\n".join(tables)


@torch.inference_mode()
def main() -> None:
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # of the profiler, which reports that there is no GPU as an error
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swin", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="swin3d_t")
    parser.add_argument("--reductions", nargs="+", default=["none", "sta:r=256"], help="the first is compared with")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dtype", default="fp32", choices=DTYPES)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    arch = architecture(options.model)
    shape = options.batch, 3, arch.frames, arch.image, arch.image
    clips = torch.randn(shape).to(options.device, DTYPES[options.dtype])
    where = f"{options.device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{options.model}, batch {options.batch}, {options.dtype}, {where}")
    print(measure(options.model, clips, options.reductions, options.repeats))


if __name__ == "__main__":
    main()
