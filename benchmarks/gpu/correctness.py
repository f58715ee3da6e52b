"""Golden logits on the device, half precision against fp32, and a training step against the CPU's."""

from contextlib import nullcontext
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.forward import DTYPES
from benchmarks.gpu.place import Place, Result
from jobs.node.device import autocast
from models import create_model
from models.catalog import architecture
from models.layers import mix_in_one
from models.tracing import trace
from models.video_model import VideoModel
from tests.models import golden, rivals, swin

RIVALS = [
    "none", "tome:r=65", "tome:r=65,prop=1", "tome:r=65,mode=drop", "vidtldr:r=400-200", "rlt:tau=0.1",
    "pitome:ratio=0.9",
]  # fmt: skip
SWIN = ["swin3d_t|8-7-7|400|0", "swin3d_t|8-7-7|400|192"]
REDUCTIONS = {
    "none": "none",
    "sta:r=48": "sta:r=12",
    "random:r=48": "random:r=12",
    "uniform:r=48": "uniform:r=12",
    "tome:r=65": "tome:r=8",
    "vidtldr:r=400-200": "vidtldr:r=40-20",
    "pitome:ratio=0.93": "pitome:ratio=0.93",
    "rlt": "rlt",
}
"""And what they are on the demo's model."""
PACKED = {"fp32": 1e-5, "fp16": 1e-2, "bf16": 5e-2}
FP32, FP64, STEP = 1e-5, 1e-8, 1e-3
"""The largest relative errors that pass: of logits in float32 and float64, and of a training step's gradients."""


def run(place: Place) -> None:
    """Says WRONG where the device's numbers are not those that they should be."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for check, title, headers in CHECKS:
        result = place.table(title, *headers)
        place.attempt(result, title, 5, partial(check, place, result))
        if wrong := [row[0] for row in result.rows if row[-1] == "WRONG"]:
            result.note(f"WRONG: {', '.join(wrong)}")


@torch.inference_mode()
def _golden(place: Place, result: Result) -> None:
    def check(case: str, dtype: str, found: Tensor, expected: np.ndarray, most: float) -> None:
        error = _apart(found.double().cpu(), torch.from_numpy(expected).double())
        result.add(case.replace("|", " "), dtype, f"{error:.1e}", f"{most:.0e}", _verdict(error <= most))

    expected = np.load(golden.EXPECTED)
    names = ("vit_small",) if place.small else ("vit_small", "vit_base")
    models = {name: _golden_model(place, name) for name in names}
    for name, model in models.items():
        clips = golden.clips(2).to(place.device)
        for key in sorted(key for key in expected.files if key.partition("|")[0] == name):
            r = key.partition("|")[2]
            model.set_reduction(f"sta:r={r}")
            check(f"STA, {key}", "fp32", model(clips), expected[key], FP32)
    exact = np.load(rivals.EXPECTED)
    rlt = "vit_small|rlt:tau=0.1|static"  # whose clips keep different numbers of tokens
    model = models["vit_small"]
    model.set_reduction("rlt:tau=0.1")
    check("rlt:tau=0.1, static", "fp32", model(rivals.static(2).to(place.device)), exact[rlt], FP32)
    model.double()
    for name, clips in (("drift", golden.clips(2)), ("static", rivals.static(2))):
        for reduction in RIVALS[1:2] if place.small else RIVALS:
            if f"vit_small|{reduction}|{name}" in exact.files:
                model.set_reduction(reduction)
                found = model(clips.double().to(place.device))
                check(f"{reduction}, {name}", "fp64", found, exact[f"vit_small|{reduction}|{name}"], FP64)
    window = np.load(swin.EXPECTED)
    for case in SWIN[:1] if place.small else SWIN:
        name, _, classes, r1 = case.split("|")
        model = create_model(name, "none" if r1 == "0" else f"sta:r={r1}", int(classes)).eval()
        model.load_state_dict(swin.weights(architecture(name), int(classes)))
        logits = model.to(place.device)(swin.clip().to(place.device))
        check(f"STA on a Video Swin, {case}", "fp32", logits, window[case], FP32)


def _golden_model(place: Place, name: str) -> VideoModel:
    model = create_model(name).eval()
    model.load_state_dict(golden.weights(name))
    return model.to(place.device)


def _packed(place: Place, result: Result) -> None:
    """Attention of clips of different lengths, and its gradients, by one kernel: a CPU has plain operators for it."""
    lengths = 3, 170, 1568, 61
    backend = sdpa_kernel(SDPBackend.MATH) if place.device == "cpu" else nullcontext()
    for precision in ("fp32",) if place.device == "cpu" else ("fp32", *place.precisions):
        torch.manual_seed(0)
        q, k, v = given = [torch.randn(1, 4, sum(lengths), 64).to(place.device, DTYPES[precision]) for _ in range(3)]
        for one in given:
            one.requires_grad_()
        with backend:
            found = mix_in_one(q, k, v, lengths)
        clips, most = zip(q.split(lengths, 2), k.split(lengths, 2), v.split(lengths, 2), strict=True), PACKED[precision]
        expected = torch.cat([F.scaled_dot_product_attention(*clip) for clip in clips], 2)
        pairs = zip(*(torch.autograd.grad(one.sum(), given) for one in (found, expected)), strict=True)
        error, slopes = _apart(found, expected), max(_apart(*pair) for pair in pairs)
        result.add(precision, f"{error:.1e}", f"{slopes:.1e}", f"{most:.0e}", _verdict(max(error, slopes) <= most))


def _apart(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()


def _verdict(right: bool) -> str:
    return "right" if right else "WRONG"


@torch.inference_mode()
def _halves(place: Place, result: Result) -> None:
    name = "vit_demo" if place.small else "vit_base"
    model = _golden_model(place, name)
    clips = golden.clips(2, side=model.arch.image).to(place.device)
    for reduction in REDUCTIONS.values() if place.small else REDUCTIONS:
        model.set_reduction(reduction)
        whole, stages = trace(model, clips)
        for precision in place.precisions:
            with autocast(precision, clips.device):
                half, others = trace(model, clips)
            result.add(reduction, precision, f"{_apart(half.float(), whole):.1e}", _alike(stages, others))


def _alike(stages: list, others: list) -> str:
    """Of the places whose tokens are left at the end in fp32, the share that is left in half precision too."""
    if not stages:
        return "all"
    one, other = stages[-1].after >= 0, others[-1].after >= 0
    return f"{100 * float((one & other).sum() / one.sum()):.2f}"


def _step(place: Place, result: Result) -> None:
    name = "vit_demo" if place.small else "vit_small"
    for reduction in ("none", "sta:r=12" if place.small else "sta:r=48"):
        losses, gradients = [], []
        for device in ("cpu", place.device):
            model = create_model(name, reduction).train()
            model.load_state_dict(golden.weights(name))
            model.to(device)
            clips = golden.clips(2, side=model.arch.image).to(device)
            loss = F.cross_entropy(model(clips), torch.tensor([1, 2], device=device))
            loss.backward()
            losses.append(loss.item())
            found = [one.grad.flatten().cpu() for one in model.parameters() if one.grad is not None]
            gradients.append(torch.cat(found))
        apart = float((gradients[1] - gradients[0]).norm() / gradients[0].norm())
        loss_apart = abs(losses[1] / losses[0] - 1)
        right = _verdict(apart <= STEP and loss_apart <= STEP)
        result.add(name, reduction, f"{loss_apart:.1e}", f"{apart:.1e}", f"{STEP:.0e}", right)


CHECKS = (
    (_golden, "Golden logits of the published code", ("case", "dtype", "relative error", "at most", "")),
    (
        _packed,
        "Clips of different lengths in one kernel, against clip by clip",
        ("dtype", "relative error", "of gradients", "at most", ""),
    ),
    (
        _halves,
        "Mixed precision against fp32",
        ("reduction", "dtype", "relative error", "places left in fp32 that are left too, %"),
    ),
    (
        _step,
        "A training step in fp32 against the CPU's, relative errors",
        ("model", "reduction", "loss", "gradients", "at most", ""),
    ),
)
