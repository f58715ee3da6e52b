"""What each of several tables takes, alone and beside others, and which of them fit into a number of hours."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.planning.estimate import Estimator
from harness.planning.plan import Plan, Run, grouped
from harness.planning.projected import Cost, table
from harness.planning.text import plural, significant
from jobs.spec.jobs import Train


@dataclass(frozen=True)
class Tables:
    """Tables by name, each with what a plan for it alone still has to do."""

    plans: dict[str, Plan]
    estimator: Estimator
    fuse: bool = True
    """Whether cells share their jobs."""

    def lines(self) -> list[str]:
        """What each takes alone, as text."""
        alone = [replace(self.cost([name]), what=name) for name in self.plans]
        shared = "each table alone; what several ask for is done once where they are swept together"
        return [*table(alone, "projected, by table", self.estimator.unit), shared]

    def cost(self, names: Sequence[str]) -> Cost:
        """Of these together, where each piece of work that several ask for is done once."""
        runs = dict.fromkeys(run for name in names for run in self._runs(self.plans[name]))
        planner = self.estimator.planner
        jobs = [planner.job([cell for cell, _ in some], some[0][1]) for some in grouped(runs, self.fuse)]
        costs = [self.estimator.cost(job, planner.tasks(job)) for job in jobs]
        return self.estimator.total(", ".join(names), costs)

    def within(self, hours: float) -> tuple[list[tuple[str, Cost]], dict[str, Cost]]:
        """As many tables as fit into so many hours, one by one the one that adds least to those before it, with what
        they then take together; and of the others what each would come to beside them. Open: another choice may hold
        more, as tables share work. Tables of which not all is known do not fit."""
        taken: list[tuple[str, Cost]] = []
        left = dict.fromkeys(self.plans)
        while True:
            beside = {name: self.cost([*(one for one, _ in taken), name]) for name in left}
            known = {name: one.hours or 0.0 for name, one in beside.items() if one.known}
            name = min(known, key=lambda one: known[one], default="")
            if not name or known[name] > hours:
                return taken, beside
            taken.append((name, beside[name]))
            del left[name]

    def _runs(self, plan: Plan) -> list[Run]:
        own = self.estimator.planner.profile.train.seed
        found: list[Run] = []
        for job in plan.jobs:
            seed = job.recipe.seed if isinstance(job, Train) and job.recipe.seed != own else None
            found += [(cell, seed) for cell in job.cells]
        return found


def within_lines(
    taken: Sequence[tuple[str, Cost]], left: dict[str, Cost], hours: float, unit: str, unknown: Sequence[str] = ()
) -> list[str]:
    """Which tables fit into so many hours, what the others would come to beside them, and, where that is not known,
    what is lacking, as text."""
    said = [f"within {hours:,.10g} {unit}: {len(taken)} of {plural(len(taken) + len(left), 'table')}, cheapest first"]
    rows = [replace(cost, what=name) for name, cost in taken]
    said += table(rows, "projected, with those above", unit) if taken else []
    for name, cost in left.items():
        what = f"with it ~{significant(cost.hours or 0)}" if cost.known else "how much it takes is not known"
        said.append(f"left out: {name}, {what}")
    if not all(cost.known for cost in left.values()):
        said += [f"not known: {text}" for text in unknown]
    return said
