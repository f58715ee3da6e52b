"""More tasks than may be submitted: what is over the limit waits, and is submitted as places come free."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness import sweep
from harness.following import watch
from harness.following.watch import Watch
from harness.planning.plan import Plan, make_plan
from harness.profiles import Profile
from harness.running import launch, overflow
from harness.running.overflow import Overflow
from harness.running.slurm import cluster
from harness.running.submission import Sent, Start
from jobs.spec.cells import Cell
from results.progress import read_job, read_progress
from results.records import read_records
from tests.harness.conftest import Slurm
from tests.harness.made import make_grid, make_planner, make_table
from tests.harness.place import Place

EVALUATE = Cell("vit_demo", "none", "motion", "2x3", "top1")
TRAINING = Cell("vit_demo", "none", "motion", "", "train_hours")
WHY = "QOSMaxSubmitJobPerUserLimit"


def planned(tmp_path: Path, *cells: Cell, overrides: Sequence[str] = (), **options: Any) -> tuple[Plan, Profile, Path]:
    planner = make_planner(tmp_path, overrides=overrides, executor="slurm", **options)
    return make_plan([make_table(cells)], planner, ()), planner.profile, tmp_path / "runs"


def arrays(slurm: Slurm) -> list[str]:
    return [(re.findall(r"--array=0-(\d+)", script) or ["one"])[0] for script in slurm.scripts]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overflow, "FIRST_S", 0.5)


def test_five_jobs_are_swept_where_three_may_be_submitted(
    tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.put("most", "3")
    place = Place(tmp_path, executor="slurm", tasks=1)
    make_grid(place.grid, ["none", *(f"random:r={r}" for r in (4, 8, 12, 16))], ["vit_demo"])
    assert sweep.main(place.arguments("--no-fuse")) == 0
    printed = capsys.readouterr().out
    assert "5 cells, 0 done already; 3 tasks of 5 jobs on SLURM\n" in printed
    assert printed.count("2 tasks wait until fewer are submitted: QOSMaxSubmitJobPerUserLimit: Job violates") == 1
    assert "(see launch.qos in the profile)" in printed
    assert len(read_records(place.runs)[0]) == 5
    assert arrays(slurm)[0] == "2"
    tries = [entry.attempt for job in read_progress(place.runs) for entry in job.entries.values()]
    assert tries == [1] * 5, "nothing was begun that could not be submitted"


def test_one_evaluation_is_cut_and_its_tasks_go_on_as_places_come_free(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    slurm.put("most", "3")
    plan, profile, runs = planned(tmp_path, EVALUATE, tasks=5)
    (job,) = plan.jobs
    sent = launch.submit(plan, profile, runs)
    assert (sent.tasks, [sorted(start.tasks) for start in sent.waiting]) == (3, [[3, 4]])
    looking = Watch(plan, profile, runs, sent)
    for _ in range(2):
        looking.look()
    assert arrays(slurm) == ["2"]
    assert looking.open
    slurm.set_state("100_1", "FAILED")
    looking.look()
    assert arrays(slurm) == ["2", "one"], "what failed, or what waited, took the place"
    slurm.put("most", "9")
    looking.overflow.next = 0.0
    looking.look()
    entries = read_job(runs, job.id).entries
    assert sorted(entries) == [0, 1, 2, 3, 4]
    assert entries[1].tries == {"crash": 1}
    assert [entries[task].tries for task in (0, 2, 3, 4)] == [{}] * 4
    assert not looking.overflow.starts


def test_a_mistake_ends_what_waits_of_its_job_too(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    slurm.put("most", "1")
    plan, profile, runs = planned(tmp_path, EVALUATE, tasks=3)
    looking = Watch(plan, profile, runs, launch.submit(plan, profile, runs))
    slurm.set_state("100", "CANCELLED by 0")
    looking.look()
    assert not looking.open
    assert len(slurm.scripts) == 1


def test_another_driver_may_submit_what_waits(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    slurm.put("most", "1")
    plan, profile, runs = planned(tmp_path, EVALUATE, tasks=2)
    looking = Watch(plan, profile, runs, launch.submit(plan, profile, runs))
    slurm.put("most", "9")
    assert launch.submit(plan, profile, runs).tasks == 1
    looking.overflow.next = 0.0
    looking.look()
    assert len(slurm.scripts) == 2
    assert not looking.overflow.starts


def test_a_throttle_of_ones_own_holds_for_what_waited(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    slurm.put("most", "3")
    plan, profile, runs = planned(tmp_path, EVALUATE, tasks=4, parallel=2)
    looking = Watch(plan, profile, runs, launch.submit(plan, profile, runs))
    for task in range(3):
        slurm.set_state(f"100_{task}", "RUNNING" if task else "FAILED")
    slurm.put("most", "99")
    looking.overflow.next = 0.0
    looking.look()
    assert arrays(slurm) == ["2", "one"], "the failed one again; the fourth would run beside three"


def test_a_gang_waits_as_a_whole(tmp_path: Path, slurm: Slurm) -> None:
    slurm.put("hold")
    slurm.put("most", "2")
    more = ["train.nodes=2", "train.tasks_per_node=2"]
    plan, profile, runs = planned(tmp_path, EVALUATE, TRAINING, overrides=more, tasks=2)
    sent = launch.submit(plan, profile, runs)
    assert (sent.tasks, [start.job.kind for start in sent.waiting]) == (2, ["train"])
    assert len(sent.waiting[0].tasks) == 4


def test_what_can_never_be_submitted_is_said_at_once(
    tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.put("most", "0")
    place = Place(tmp_path, executor="slurm", tasks=1)
    assert sweep.main(place.arguments()) == 2
    assert (
        "error: profile small: SLURM accepts not even one task: QOSMaxSubmitJobPerUserLimit" in capsys.readouterr().err
    )
    assert slurm.scripts == []
    assert not list(place.runs.glob("jobs/*/attempt-*"))


def test_who_does_not_wait_is_told_what_was_not_submitted(
    tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.put("hold")
    slurm.put("most", "1")
    place = Place(tmp_path, executor="slurm", tasks=1)
    assert sweep.main(place.arguments("--no-fuse", "--no-wait")) == 1
    printed = capsys.readouterr()
    assert "1 task of 2 jobs on SLURM" in printed.out
    assert printed.err.startswith("1 task waits until fewer are submitted: QOSMaxSubmitJobPerUserLimit")
    assert printed.err.endswith("; run the same command again to submit more\n")


def test_a_limit_that_is_reached_between_the_question_and_the_submission(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm.put("hold")
    plan, profile, runs = planned(tmp_path, EVALUATE, tasks=2)
    monkeypatch.setattr(cluster, "_fitting", lambda one, runs: (len(one.units), None))
    slurm.put("most", "1")
    monkeypatch.setattr(cluster, "_alone", lambda why: False)
    sent = launch.submit(plan, profile, runs)
    assert (sent.tasks, [sorted(start.tasks) for start in sent.waiting]) == (0, [[0, 1]])
    slurm.put("most", "2")
    looking = Watch(plan, profile, runs, sent)
    looking.overflow.next = 0.0
    looking.look()
    assert arrays(slurm) == ["1"]
    assert {entry.id for entry in read_job(runs, plan.jobs[0].id).entries.values()} == {"100_0", "100_1"}


def test_slurm_is_asked_ever_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, profile, _ = planned(tmp_path, EVALUATE, tasks=2)
    start = Start(plan.jobs[0], ["grid"], 0, {0: {}, 1: {}})
    now = 0.0
    monkeypatch.setattr(overflow.time, "monotonic", lambda: now)
    jobs = {plan.jobs[0].id: read_job(tmp_path / "runs", plan.jobs[0].id)}
    waiting = Overflow(Sent(1, [start], WHY))
    asked = []
    while now < 3600:
        if due := waiting.due(jobs, profile.launch):
            asked.append(now)
            waiting.add(due, Sent(0, due, WHY))
        now += 0.5
    assert len(asked) < 20
    assert max(after - before for before, after in itertools.pairwise(asked)) <= overflow.LAST_S + 1


def test_who_stops_waiting_is_told_what_was_not_submitted(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.put("hold")
    slurm.put("most", "1")
    plan, profile, runs = planned(tmp_path, EVALUATE, tasks=3)
    sent = launch.submit(plan, profile, runs)

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", stop)
    with pytest.raises(KeyboardInterrupt):
        watch.wait(plan, profile, runs, sent)
    assert capsys.readouterr().err.startswith("2 tasks wait until fewer are submitted: QOSMaxSubmitJobPerUserLimit")
