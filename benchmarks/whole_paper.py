"""One pass for the whole paper: what ViT-L's cells on Kinetics-400 take, of all tables of a group.

    python -m benchmarks.whole_paper [--group paper] [--rounds 5]

Decodes and forward passes are those of the jobs that a sweep with the profile v100 would submit, counted on a video of
10 seconds. The multiply-adds of a clip under all reductions are counted while ViT-L, with random weights, runs them.
Times are those of the demo's model under the same reductions scaled to it, in turns: alone, and sharing what is the
same. Logits must be the same bits both ways.
"""

import argparse
import statistics
import time
from pathlib import Path

import tabulate
import torch

from harness.planning.plan import make_plan
from harness.planning.planner import Planner
from harness.profiles import load_profile
from harness.tables import Table, load_tables
from jobs.cost import forwards_a_video
from jobs.spec.jobs import Evaluate
from models import create_model
from models.catalog import architecture
from models.flops import products_run
from models.reduction import reduction_on
from models.video_model import VideoModel

MODEL, SMALL, DATASET = "vit_large", "vit_demo", "k400"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole_paper", description=__doc__)
    parser.add_argument("--group", default="paper", help="a table or a group of tables (paper)")
    parser.add_argument("--rounds", type=int, default=5, help="how often both ways are timed (5)")
    given = parser.parse_args()
    tables = load_tables([given.group])
    jobs = evaluations(tables)
    apart = [job for table in tables for job in evaluations([table])]
    alone = [job for table in tables for job in evaluations([table], fuse=False)]
    views = sum(sum(forwards_a_video(job).values()) for job in alone)
    rows = [
        ["one pass", len(jobs), len(jobs), _forwards(jobs)],
        ["table by table", len(apart), len(apart), _forwards(apart)],
        ["cell by cell", len(alone), len(alone), views],
        ["public scripts (by their design)", len(alone), views, views],
    ]
    print(tabulate.tabulate(rows, ["", "jobs", "decodes a video", "forwards a video"]))

    groups: dict[tuple[str, ...], list[str]] = {}
    for job in jobs:
        for reduction, grids in job.requests().items():
            groups.setdefault(grids, []).append(reduction)
    for grids, reductions in groups.items():
        print(f"\n{len(reductions)} reductions of {MODEL} take the views {', '.join(grids)}: {', '.join(reductions)}")
        print(f"multiply-adds of a clip under all, GFLOPs: {_costs(MODEL, reductions)}")
    _time(max(groups.values(), key=len), given.rounds)


def evaluations(tables: list[Table], fuse: bool = True) -> list[Evaluate]:
    """The evaluations of MODEL on DATASET that a sweep of the tables would submit."""
    planner = Planner(load_profile("v100", []), Path("no-runs"), elsewhere=True)
    plan = make_plan(tables, planner, (), fuse=fuse)
    found = [job for job in plan.jobs if isinstance(job, Evaluate)]
    return [job for job in found if job.model == MODEL and job.dataset.name == DATASET]


def _forwards(jobs: list[Evaluate]) -> int:
    return sum(sum(forwards_a_video(job).values()) for job in jobs)


def _costs(name: str, reductions: list[str]) -> str:
    """Of one clip, each alone and all sharing what is the same, counted while they run."""
    model = create_model(name).eval()
    arch = model.arch
    clip = torch.randn(1, 3, arch.frames, arch.image, arch.image)
    alone = sum(cost for one in reductions if (cost := reduction_on(one, arch).multiply_adds(arch)))
    shared = products_run(lambda: model.forward_all(clip, reductions))
    return f"alone {alone / 1e9:,.1f}, shared {shared / 1e9:,.1f}, shared / alone {shared / alone:.3f}"


@torch.inference_mode()
def _time(reductions: list[str], rounds: int) -> None:
    arch = architecture(SMALL)
    fitted = [str(reduction_on(one, architecture(MODEL)).fit(architecture(MODEL), arch)[0]) for one in reductions]
    model = create_model(SMALL).eval()
    clips = torch.randn(8, 3, arch.frames, arch.image, arch.image)
    ratios = []
    for number in range(rounds + 1):
        began = time.perf_counter()
        alone = _alone(model, clips, fitted)
        middle = time.perf_counter()
        shared = model.forward_all(clips, fitted)
        ended = time.perf_counter()
        assert all(torch.equal(one, other) for one, other in zip(alone, shared, strict=True))
        if number:  # the first round is the warm-up
            ratios.append((ended - middle) / (middle - began))
    print(f"\n{SMALL}, the {len(fitted)} reductions scaled to it, the same bits both ways")
    print(f"multiply-adds of a clip, GFLOPs: {_costs(SMALL, fitted)}")
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"wall time, shared / alone: {statistics.median(ratios):.3f} (median of {rounds}; {spread})")


def _alone(model: VideoModel, clips: torch.Tensor, reductions: list[str]) -> list[torch.Tensor]:
    found = []
    for one in reductions:
        model.set_reduction(one)
        found.append(model(clips))
    return found


if __name__ == "__main__":
    main()
