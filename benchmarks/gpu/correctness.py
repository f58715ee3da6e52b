"""Golden logits on the device, half precision against fp32, and a training step against the CPU's."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu.place import Place, Result
from jobs.node.device import autocast
from models import create_model
from models.catalog import architecture
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
FP32, FP64, STEP = 1e-5, 1e-8, 1e-3
"""The largest relative errors that pass: of logits in float32 and float64, and of a training step's gradients."""


def run(place: Place) -> list[Result]:
    """ValueError where some golden logits are not those of the device."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    results = [_golden(place), _halves(place), _step(place)]
    wrong = [row[0] for one in results for row in one.rows if row[-1] == "WRONG"]
    if wrong:
        results[0].notes.append(f"WRONG: {', '.join(wrong)}")
    return results


@torch.inference_mode()
def _golden(place: Place) -> Result:
    result = Result("Golden logits of the published code", ["case", "dtype", "relative error", "at most", ""])

    def check(case: str, dtype: str, found: Tensor, expected: np.ndarray, most: float) -> None:
        error = float(np.abs(found.double().cpu().numpy() - expected).max() / np.abs(expected).max())
        result.rows.append(
            [case.replace("|", " "), dtype, f"{error:.1e}", f"{most:.0e}", "right" if error <= most else "WRONG"]
        )

    expected = np.load(golden.EXPECTED)
    for name in ("vit_small",) if place.small else ("vit_small", "vit_base"):
        model = _golden_model(place, name)
        clips = golden.clips(2).to(place.device)
        for key in sorted(key for key in expected.files if key.partition("|")[0] == name):
            r = key.partition("|")[2]
            model.set_reduction(f"sta:r={r}")
            check(f"STA, {key}", "fp32", model(clips), expected[key], FP32)
    exact = np.load(rivals.EXPECTED)
    model = _golden_model(place, "vit_small").double()
    for name, clips in (("drift", golden.clips(2)), ("static", rivals.static(2))):
        for reduction in RIVALS[:2] if place.small else RIVALS:
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
    return result


def _golden_model(place: Place, name: str) -> VideoModel:
    model = create_model(name).eval()
    model.load_state_dict(golden.weights(name))
    return model.to(place.device)


@torch.inference_mode()
def _halves(place: Place) -> Result:
    headers = ["reduction", "dtype", "relative error", "places left in fp32 that are left too, %"]
    result = Result("Mixed precision against fp32", headers)
    name = "vit_demo" if place.small else "vit_base"
    model = _golden_model(place, name)
    clips = golden.clips(2, side=model.arch.image).to(place.device)
    for reduction in REDUCTIONS.values() if place.small else REDUCTIONS:
        model.set_reduction(reduction)
        whole, stages = trace(model, clips)
        for precision in ("bf16",) if place.device == "cpu" else ("fp16", "bf16"):
            with autocast(precision, clips.device):
                half, others = trace(model, clips)
            error = float((half.float() - whole).abs().max() / whole.abs().max())
            result.rows.append([reduction, precision, f"{error:.1e}", _alike(stages, others)])
    return result


def _alike(stages: list, others: list) -> str:
    """Of the places whose tokens are left at the end in fp32, the share that is left in half precision too."""
    if not stages:
        return "all"
    one, other = stages[-1].after >= 0, others[-1].after >= 0
    return f"{100 * float((one & other).sum() / one.sum()):.2f}"


def _step(place: Place) -> Result:
    headers = ["model", "reduction", "loss", "gradients", "at most", ""]
    result = Result("A training step in fp32 against the CPU's, relative errors", headers)
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
        right = "right" if apart <= STEP and loss_apart <= STEP else "WRONG"
        result.rows.append([name, reduction, f"{loss_apart:.1e}", f"{apart:.1e}", f"{STEP:.0e}", right])
    return result
