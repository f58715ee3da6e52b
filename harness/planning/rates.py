"""How fast jobs go: as measured in this runs folder, else as the profile says, both scaled by GFLOPs where need be."""

import math
from bisect import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from harness.planning.text import significant
from harness.profiles import Profile
from jobs.cost import multiply_adds
from jobs.spec.cells import canonical, method_digest
from jobs.spec.jobs import Train
from results.records import Record, setting

Place = tuple[object, ...]
"""What rates of different reductions may be compared under: where they are from and what of, and of measured ones
precision, device, and what else their speed depends on."""
FORWARD, TRAINING = "clips_per_s", "train_clips_per_s"
METRICS = {FORWARD: "clips_per_s", TRAINING: "train_step_s"}


@dataclass(frozen=True)
class Rate:
    """Clips a second of one task, or of one process of a training, and where that comes from."""

    clips_per_s: float
    source: str

    def scaled(self, flops: float, wanted: float, base: str) -> "Rate":
        """What follows from it, of `base`, for other FLOPs."""
        by = f"{significant(flops / 1e9)} → {significant(wanted / 1e9)}"
        return Rate(self.clips_per_s * flops / wanted, f"scaled from {base} by GFLOPs ({by}), {self.source}")


class KnownRates:
    """The rates that a profile and records give. `sources` says of each that was asked for where it comes from, and
    `unknown` what to do for one that is not there; a line each."""

    def __init__(self, profile: Profile, records: Iterable[Record]) -> None:
        self.sources: dict[str, None] = {}
        self.unknown: dict[str, None] = {}
        self._device = "cuda" if profile.launch.gpus_per_task else "cpu"
        self._counted: dict[tuple[str, str], float] = {}
        self._known: dict[Place, dict[str, Rate]] = {}
        self._flops = cache(self._flops_of)
        self._bases = cache(self._bases_of)
        for kind in (FORWARD, TRAINING):
            for name, rate in getattr(profile.rates, kind).items():
                model, _, reduction = name.partition("/")
                found = Rate(rate, f"from rates.{kind}")
                self._put(("given", kind, model), canonical(reduction or "none", model), found)
        for record in sorted(records, key=lambda one: one.ended):  # the latest of several counts
            self._take(record)

    def forward(self, model: str, reduction: str, precision: str, threads: int) -> Rate | None:
        """Of one task that only takes clips forward."""
        measured = (FORWARD, model, precision, self._device, self._device == "cpu" and threads)
        return self._rate(FORWARD, measured, model, reduction)

    def training(self, job: Train) -> Rate | None:
        """Of one process of `job`, all of a step counted, in augmented clips."""
        measured = (TRAINING, job.model, job.recipe.precision, self._device, self._device == "cpu" and job.threads)
        modes = (job.activation_checkpointing, job.compile)
        return self._rate(TRAINING, measured + modes, job.model, job.reduction)

    def _take(self, record: Record) -> None:
        cell, samples, found = record.cell, record.samples, record.settings
        model, reduction, metric, device = cell["model"], cell["reduction"], cell["metric"], found.get("device")
        if found.get("method") not in (None, method_digest(reduction)):
            return  # of code that is another by now
        threads = device == "cpu" and found.get("threads")
        machine = record.provenance.get("machine", {})
        where = machine.get("gpu") or machine.get("cpu")
        source = f"measured, record {record.id}" + (f" on {where}" if where else "")
        if metric == "gflops":
            self._counted[model, reduction] = 1e9 * record.value
        elif metric == "clips_per_s":
            place: Place = (FORWARD, model, found.get("precision"), device, threads)
            self._put(place, reduction, Rate(record.value, source))
        elif metric in ("train_step_s", "train_hours") and samples.get("step_s"):
            place = (TRAINING, model, setting(record, "recipe.precision"), device, threads)
            modes = (found.get("activation_checkpointing"), found.get("compile"))
            rate = samples["clips_per_step"] / samples["step_s"]["median"] / samples["processes"]
            self._put(place + modes, reduction, Rate(rate, source))

    def _put(self, place: Place, reduction: str, rate: Rate) -> None:
        self._known.setdefault(place, {})[reduction] = rate

    def _rate(self, kind: str, measured: Place, model: str, reduction: str) -> Rate | None:
        training = " in training" * (kind == TRAINING)
        places = [place for place in (measured, ("given", kind, model)) if place in self._known]
        ways = (self._known[place].get(reduction) or self._scaled(place, model, reduction) for place in places)
        if found := next(filter(None, ways), None if places else self._of_another(kind, model, reduction)):
            rate = f"~{significant(found.clips_per_s)} clips/s"
            self.sources[f"{model} {reduction}{training}: {rate}, {found.source}"] = None
            return found
        lacking, otherwise = f"{model}{training}", f"measure {METRICS[kind]}, or give rates.{kind}.{model}"
        if places or (not self._flops(model, reduction) and self._given(kind)):
            lacking = f"{model} {reduction}{training}"
            otherwise = f"its FLOPs show only when it runs; measure gflops or {METRICS[kind]}"
        self.unknown[f"no rate for {lacking}: {otherwise}"] = None
        return None

    def _scaled(self, place: Place, model: str, reduction: str) -> Rate | None:
        """From the reduction known in `place` whose FLOPs are nearest."""
        wanted, bases = self._flops(model, reduction), self._bases(place, model)
        if not wanted or not bases:
            return None
        after = bisect(bases, (wanted, ""))
        flops, base = min(bases[max(after - 1, 0) : after + 1], key=lambda one: abs(math.log(one[0] / wanted)))
        return self._known[place][base].scaled(flops, wanted, base)

    def _of_another(self, kind: str, model: str, reduction: str) -> Rate | None:
        """From the rate that the profile gives of another model, nearest in FLOPs; one that was measured is of a small
        model as a rule, or of a machine of its own."""
        wanted = self._flops(model, reduction)
        given = [(place, self._bases(place, str(place[2]))) for place in self._given(kind)]
        bases = [(flops, place, base) for place, found in given for flops, base in found]
        if not wanted or not bases:
            return None
        flops, place, base = min(bases, key=lambda one: abs(math.log(one[0] / wanted)))
        other = f"another model, {place[2]} {base}"
        return self._known[place][base].scaled(flops, wanted, other)

    def _given(self, kind: str) -> list[Place]:
        return [place for place in self._known if place[:2] == ("given", kind)]

    def _bases_of(self, place: Place, model: str) -> list[tuple[float, str]]:
        """FLOPs and names of the reductions that are known in `place`, ascending."""
        return sorted((flops, base) for base in self._known[place] if (flops := self._flops(model, base)))

    def _flops_of(self, model: str, reduction: str) -> float | None:
        return multiply_adds(model, reduction) or self._counted.get((model, reduction))
