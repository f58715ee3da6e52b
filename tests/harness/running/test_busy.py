"""Submitting to a SLURM that is busy: asked again, looked up before anything is sent again, and given up in a line."""

from pathlib import Path

import pytest

from harness import sweep
from harness.running.launch import submit
from harness.running.slurm import cluster
from results.attempts import submission_folder
from results.progress import JobProgress, read_progress
from tests.harness.conftest import Slurm
from tests.harness.place import Place
from tests.harness.running.test_launch import COUNT, EVALUATE, entries, planned


def ids(jobs: list[JobProgress]) -> list[str]:
    return [entry.id for job in jobs for entry in job.entries.values()]


def test_a_job_that_sbatch_is_silent_about_is_found_by_its_name(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "AGAIN_S", 0)
    slurm.put("hold")
    slurm.put("lose_answer")
    plan, profile, runs = planned(tmp_path, EVALUATE, executor="slurm", tasks=2)
    assert submit(plan, profile, runs).tasks == 2
    assert [entry.id for entry in entries(runs, plan.jobs[0].id)] == ["100_0", "100_1"]
    assert len(slurm.scripts) == 1
    assert capsys.readouterr().err == ""
    folder = submission_folder(runs, entries(runs, plan.jobs[0].id)[0].name)
    assert {path.name for path in folder.glob("100_*.pkl")} == {f"100_{task}_submitted.pkl" for task in (0, 1)}


@pytest.mark.parametrize("answers", ["squeue_down", "forget"])
def test_accounting_finds_it_where_squeue_does_not(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    monkeypatch.setattr(cluster, "AGAIN_S", 0)
    for name in ("hold", "lose_answer", answers):
        slurm.put(name)
    plan, profile, runs = planned(tmp_path, COUNT, executor="slurm", tasks=1)
    assert submit(plan, profile, runs).tasks == 1
    assert [entry.id for entry in entries(runs, plan.jobs[0].id)] == ["100"]


@pytest.mark.parametrize(("busy", "sent"), [(1, 1), (cluster.SENDS - 1, 1), (cluster.SENDS, 0)])
def test_a_busy_slurm_is_asked_several_times(
    tmp_path: Path,
    slurm: Slurm,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    busy: int,
    sent: int,
) -> None:
    monkeypatch.setattr(cluster, "AGAIN_S", 0)
    slurm.put("hold")
    slurm.put("busy", str(busy))
    place = Place(tmp_path, executor="slurm", tasks=1)
    assert sweep.main(place.arguments("--no-wait")) == (0 if sent else 2)
    assert len(slurm.scripts) == sent
    assert (slurm.folder / "busy").read_text() == "0"
    said = "error: profile small cannot submit to SLURM: Socket timed out on send/recv operation\n"
    assert capsys.readouterr().err == ("" if sent else said)
    if not sent:
        assert sweep.main(place.arguments("--no-wait")) == 0, "and the same command sends it later"
        assert len(slurm.scripts) == 1


def test_nothing_is_sent_while_it_cannot_be_known_what_was(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "AGAIN_S", 0)
    for name in ("hold", "lose_answer", "squeue_down", "sacct_down"):
        slurm.put(name)
    place = Place(tmp_path, executor="slurm", tasks=1)
    for _ in range(2):
        assert sweep.main(place.arguments("--no-wait")) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: squeue does not answer whether SLURM has grid.vit_demo.gflops.2-cells~")
        assert line.endswith(", which was being submitted; run the same command again when it does")
        assert len(slurm.scripts) == 1
    (slurm.folder / "squeue_down").unlink()
    assert sweep.main(place.arguments("--no-wait")) == 0
    assert ids(read_progress(place.runs)) == ["100"]
    assert len(slurm.scripts) == 1
