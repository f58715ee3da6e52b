"""Planning trainings: one for all that is asked of it, by the profile's recipe, on processes that divide its batch."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.planning.plan import make_plan
from harness.planning.planner import Planner
from jobs.spec.cells import Cell
from jobs.spec.jobs import Checkpoint, Train
from tests.harness.made import make_planner, make_table
from tests.harness.planning.test_plan import left_behind


@pytest.fixture(scope="module")
def planner(tmp_path_factory: pytest.TempPathFactory) -> Planner:
    return make_planner(tmp_path_factory.mktemp("plan"))


def trained(*metrics: str, reduction: str = "none") -> list[Cell]:
    return [
        Cell("vit_demo", reduction, "motion", "5x3" if metric == "top1_trained" else "", metric) for metric in metrics
    ]


def test_a_training_is_adopted_whatever_it_was_asked_for(planner: Planner) -> None:
    (old,) = left_behind(make_plan([make_table(trained("train_hours", "train_step_s"))], planner, ()))
    hours, _ = old.job["record_ids"]

    def asked(*metrics: str, records: tuple[str, ...] = (), planner: Planner = planner) -> set[str]:
        plan = make_plan([make_table(trained(*metrics))], planner, records, [old], {old.id}, fuse=False)
        (job,) = plan.jobs
        assert job.id == old.id
        assert plan.tasks[job.id] == 2
        return {cell.metric for cell in job.cells}

    assert asked("top1_trained") == {"top1_trained", "train_hours", "train_step_s"}
    assert asked("top1_trained", records=(hours,)) == {"top1_trained", "train_step_s"}
    assert asked("train_hours") == {"train_hours", "train_step_s"}
    (accuracy,) = left_behind(make_plan([make_table(trained("top1_trained"))], planner, ()))
    limited = Planner(planner.profile, planner.runs, limit=5)
    plan = make_plan([make_table(trained("train_hours"))], limited, (), [accuracy])
    assert [cell.metric for cell in plan.jobs[0].cells] == ["train_hours"], "it would be over other videos"


def test_the_accuracy_of_a_training_of_some_steps_is_left_out(tmp_path: Path) -> None:
    planner = make_planner(tmp_path, overrides=["train.measure_steps=5"])
    plan = make_plan([make_table(trained("train_hours", "top1_trained"))], planner, ())
    assert (plan.left_out, [[cell.metric for cell in job.cells] for job in plan.jobs]) == (1, [["train_hours"]])
    assert make_plan([make_table(trained("top1_trained"))], planner, ()).jobs == []


def test_a_training_takes_the_profiles_recipe_and_as_many_processes_as_divide_its_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(7))

    def train(*overrides: str) -> Train:
        planner = make_planner(tmp_path, overrides=["train.tasks_per_node=0", *overrides], cpus_per_task=1)
        job = planner.job(trained("train_hours"))
        assert isinstance(job, Train)
        return job

    job = train("train.epochs=3", "train.warmup_epochs=1")
    assert (job.tasks_per_node, job.processes, job.threads, job.start) == (4, 4, 1, None)
    assert (job.recipe.epochs, job.recipe.flip, job.dataset.labels) == (3, 0.5, str(tmp_path / "train.txt"))
    assert job.evaluate.dataset.labels == str(tmp_path / "val.txt")
    assert train("train.batch=24").tasks_per_node == 6
    assert train("train.micro_batch=8").tasks_per_node == 1
    assert train("datasets.motion.mirror=false").recipe.flip == 0.0
    assert train("pretrained.vit_demo/motion=weights.bin").start == Checkpoint.of(tmp_path / "weights.bin")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.nodes=2", "profile small: train.nodes must be 1 with executor local, not 2"),
        ("datasets.motion.train_labels=", "has no datasets.motion.train_labels; set it to the label file of the"),
        ("datasets.motion.train_labels=no.txt", "cannot read the label file of motion, "),
        ("pretrained.vit_demo/motion=no.pth", "cannot read the pre-trained weights of vit_demo/motion, "),
        ("train.batch=96", "train.txt lists 80 videos, fewer than train.batch, 96"),
    ],
)
def test_a_training_that_cannot_be_is_refused(tmp_path: Path, override: str, expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)):
        make_planner(tmp_path, overrides=[override]).job(trained("train_hours"))


def test_a_training_needs_to_know_what_it_begins_with_and_how_many_processes_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'has no pretrained\."vit_base/motion"; set it to .*, or to scratch'):
        make_planner(tmp_path).job([Cell("vit_base", "none", "motion", "", "train_hours")])
    planner = make_planner(tmp_path, executor="slurm", tasks=1, overrides=["train.tasks_per_node=0"])
    with pytest.raises(ValueError, match=r"train\.tasks_per_node must be at least 1 with executor slurm"):
        planner.job(trained("train_hours"))
    assert planner.job([Cell("vit_demo", "none", "motion", "2x3", "top1")]).kind == "evaluate", "others do not need it"


def test_each_seed_is_a_training_of_its_own_and_the_profiles_is_that_of_other_tables(planner: Planner) -> None:
    plain = make_table(trained("train_hours", "top1_trained"))
    seeded = replace(make_table(trained("train_hours", "top1_trained"), "seeded"), seeds=(0, 1, 2))
    plan = make_plan([plain, seeded], planner, ())
    trainings = [job for job in plan.jobs if isinstance(job, Train)]
    assert [(job.recipe.seed, len(job.cells)) for job in trainings] == [(0, 2), (1, 2), (2, 2)]
    assert len({job.id for job in plan.jobs}) == 3
    assert plan.text == "8 cells, each run of a training counted"
    assert len({cell.record for cell in plan.cells}) == 6, "seed 0 is the profile's"
    (shared,) = [job.id for job in trainings if job.recipe.seed == 0]
    assert plan.tables[shared] == ["grid", "seeded"]
    assert make_plan([seeded], planner, {cell.record for cell in plan.cells if cell.table == "grid"}).done == 2
    again = make_plan([seeded], planner, (), left_behind(plan))
    assert {job.id for job in again.jobs} == {job.id for job in plan.jobs}


def test_what_is_not_trained_has_no_seeds(planner: Planner) -> None:
    cells = [*trained("train_hours"), Cell("vit_demo", "none", "motion", "2x3", "top1")]
    plan = make_plan([replace(make_table(cells), seeds=(3, 4))], planner, ())
    assert sorted(job.kind for job in plan.jobs) == ["evaluate", "train", "train"]
