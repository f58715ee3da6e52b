"""What a plan will take: forward passes, GPU-hours, time and disk, projected from measured or given rates.

Where a rate or a number of videos is not known, so is what depends on it, and it is said what to give; of a model
without a rate that of another is scaled, and its source says so. Queueing, start-up and what is done again after a stop
are left out.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.planning.lanes import lanes
from harness.planning.plan import Plan
from harness.planning.planner import Planner
from harness.planning.projected import KINDS, Cost, Estimate, add
from harness.planning.rates import KnownRates
from harness.planning.text import duration, plural
from jobs import cost
from jobs.spec.jobs import Evaluate, Job, Measure, Train, Visualize
from results.records import Record


def estimate(plan: Plan, planner: Planner, records: Iterable[Record]) -> Estimate:
    """Project what `plan` takes, from `records` where they are of the same model, precision and device."""
    estimator = Estimator(planner, KnownRates(planner.profile, records))
    costs = [estimator.cost(job, plan.tasks[job.id]) for job in plan.jobs]
    of_kind = {kind: [one for one in costs if one.kind == kind] for kind in dict.fromkeys(one.kind for one in costs)}
    if planner.profile.launch.executor == "slurm":
        together = sum(plan.tasks.values())
        most = planner.profile.launch.parallel or together
        estimator.notes[f"time is as if the cluster ran {min(most, together):,} of {together:,} tasks at a time"] = None
    return Estimate(
        costs,
        estimator.total("all", costs),
        estimator.unit,
        # Those that rest on another model first, as more than some are not shown.
        sources=sorted([*estimator.sources, *estimator.rates.sources], key=lambda text: "another model" not in text),
        missing=planner.missing,
        unknown=[*estimator.unknown, *estimator.rates.unknown],
        notes=list(estimator.notes),
        by_kind=[estimator.total(plural(len(some), KINDS[kind]), some) for kind, some in of_kind.items()],
    )


class Estimator:
    """Costs jobs one by one; notes on them are collected, each once."""

    def __init__(self, planner: Planner, rates: KnownRates) -> None:
        self.planner, self.rates = planner, rates
        self.launch, self.given = planner.profile.launch, planner.profile.rates
        self.sources: dict[str, None] = {}
        self.unknown: dict[str, None] = {}
        self.notes: dict[str, None] = {}
        self.unit = "GPU-hours" if self.launch.gpus_per_task else "core-hours"

    def total(self, what: str, costs: Sequence[Cost]) -> Cost:
        """Of jobs of one plan."""
        total = add(what, costs)
        if self.launch.executor == "slurm":
            total = replace(total, wall_hours=_side_by_side(costs, self.launch.parallel))
        return total

    def cost(self, job: Job, tasks: int) -> Cost:
        if isinstance(job, Evaluate):
            return self._evaluation(job, tasks)
        if isinstance(job, Measure):
            return self._timing(job)
        if isinstance(job, Train):
            return self._training(job)
        if isinstance(job, Visualize):
            self.notes["drawing takes seconds and some megabytes a video, which are not included"] = None
            return Cost(f"draw figures of {job.model}, {_cells(job)}", job.kind)
        self.notes["counting GFLOPs takes seconds, which are not included"] = None
        return Cost(f"count GFLOPs, {_cells(job)}", job.kind)

    def _evaluation(self, job: Evaluate, tasks: int) -> Cost:
        what = f"evaluate {job.model} on {job.dataset.name}, {_cells(job)}"
        videos = self._videos(job.dataset.name, limit=job.limit)
        forwards, seconds = self._scoring(job, videos)
        together = min(tasks, lanes(self.launch) if self.launch.executor == "local" else self.launch.parallel or tasks)
        disk = None if videos is None else cost.scores_bytes(job, videos)
        return self._cost(what, job, forwards, seconds, tasks, together, disk)

    def _timing(self, job: Measure) -> Cost:
        cell = job.cells[0]
        what = f"time {cell.model} {cell.reduction}, {', '.join(cell.metric for cell in job.cells)}"
        if not job.end_to_end:
            forwards = cost.timed_forwards(job)
            rate = self.rates.forward(cell.model, cell.reduction, job.precision, job.threads)
            return self._cost(what, job, forwards, forwards / rate.clips_per_s if rate else None, 1, 1, 0)
        assert job.dataset
        videos = self._videos(job.dataset.name)
        read = None if videos is None else cost.timed_videos(job, videos)
        return self._cost(what, job, *self._scoring(job.evaluation(), read), 1, 1, 0)

    def _training(self, job: Train) -> Cost:
        what = f"train {job.model} {job.reduction} on {job.dataset.name}, seed {job.recipe.seed}"
        listed = self._videos(job.dataset.name, "train")
        phases = None if listed is None else cost.training_steps(job, listed)
        seconds = self._steps(job, phases)
        disk = None if phases is None else cost.training_bytes(job, sum(steps for _, steps in phases))
        forwards: int | None = 0
        if final := cost.final_evaluation(job):
            videos = self._videos(job.dataset.name)
            forwards, more = self._scoring(final, videos)
            seconds = None if seconds is None or more is None else seconds + more
            disk = None if disk is None or videos is None else disk + cost.scores_bytes(final, videos)
        return self._cost(what, job, forwards, seconds, job.processes, job.processes, disk)

    def _steps(self, job: Train, phases: Sequence[tuple[int, int]] | None) -> float | None:
        """Seconds of all processes together that the steps of a training take."""
        rate, whole = self.rates.training(job), cost.multiply_adds(job.model, job.reduction)
        if rate is None or phases is None:
            return None
        seconds = 0.0
        for frames, steps in phases:
            flops = cost.multiply_adds(job.model, job.reduction, frames)
            share = flops / whole if flops and whole else 1.0
            step = share * job.recipe.batch * job.recipe.repeats / rate.clips_per_s
            reading = self._reading(job.recipe.batch, self.given.load_videos_per_s, job.decoders, "load_videos_per_s")
            seconds += steps * max(step, reading)
        return seconds

    def _scoring(self, job: Evaluate, videos: int | None) -> tuple[int | None, float | None]:
        """Forward passes, and seconds of all tasks together, for the views of `videos` videos."""
        views = cost.forwards_a_video(job)
        frames, height, width = cost.TYPICAL
        self.sources[f"{job.model} on {job.dataset.name}: {sum(views.values())} views a video"] = None
        self.notes[f"views are those of a video of {frames} frames, {width}×{height}"] = None
        rates = {one: self.rates.forward(job.model, one, job.precision, job.threads) for one in views}
        if videos is None:
            return None, None
        seconds = 0.0
        for reduction, count in views.items():
            rate = rates[reduction]
            if rate is None:
                return videos * sum(views.values()), None
            seconds += videos * count / rate.clips_per_s
        reading = self._reading(videos, self.given.decode_videos_per_s, job.decoders, "decode_videos_per_s")
        return videos * sum(views.values()), max(seconds, reading)

    def _reading(self, videos: int, rate: float, decoders: int, key: str) -> float:
        """Seconds of all tasks together for reading `videos` videos, 0 if unknown."""
        if not rate:
            self.notes[f"reading videos is assumed to keep up, as rates.{key} is not given"] = None
            return 0.0
        self.sources[f"{rate:g} videos/s a decoder process, from rates.{key}"] = None
        return videos / (rate * decoders)

    def _videos(self, dataset: str, split: str = "test", limit: int = 0) -> int | None:
        declared = self.planner.profile.datasets[dataset]
        train = split == "train"
        listed = self.planner.videos.get(f"{dataset} train" if train else dataset, 0)
        key = f"datasets.{dataset}.{'train_' * train}videos"
        videos = listed or (declared.train_videos if train else declared.videos)
        if not videos:
            self.unknown[f"how many videos {dataset} has: its label file is not here; give {key}"] = None
            return None
        source = "its label file" if listed else key
        self.sources[f"{dataset}: {videos:,} {'training ' * train}videos, by {source}"] = None
        return min(videos, limit or videos)

    def _cost(
        self,
        what: str,
        job: Job,
        forwards: int | None,
        seconds: float | None,
        tasks: int,
        together: int,
        disk: int | None,
    ) -> Cost:
        """Of seconds of all tasks together, of which so many run at a time."""
        if seconds is None:
            return Cost(what, job.kind, forwards, None, None, None, disk)
        hours = seconds / 3600
        each = hours / tasks
        limit = self.launch.time_min / 60
        if each > limit:
            again = math.ceil(each / limit) - 1
            text = f"{what}: with ~{duration(each)} it reaches its limit of {duration(limit)} {again} ×"
            more = "more than " * (again > self.launch.timeouts)
            self.notes[f"{text}; {more}launch.timeouts = {self.launch.timeouts}"] = None
        used = hours * (self.launch.gpus_per_task or self.launch.cpus_per_task)
        return Cost(what, job.kind, forwards, hours, used, each * math.ceil(tasks / together), disk)


def _cells(job: Job) -> str:
    return plural(len(job.cells), "cell")


def _side_by_side(costs: Sequence[Cost], parallel: int) -> float | None:
    """Hours where a cluster runs all at a time, but no more than `parallel` tasks of an array."""
    hours = [one.wall_hours for one in costs if one.wall_hours is not None]
    for alone in (False, True):
        array = [one for one in costs if one.kind != "train" and (one.kind == "measure") == alone]
        if parallel:
            hours.append(sum(one.task_hours or 0.0 for one in array) / parallel)
    return max(hours, default=None)
