"""The sweep as a user runs it: in earnest on this machine and on a fake cluster, and every way to call it wrongly."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import status, sweep
from harness.arguments import run
from harness.profiles import profile_names
from harness.running.queue import state_of
from harness.tables import table_names
from models.catalog import ARCHITECTURES
from results.metrics import METRICS
from results.progress import read_progress
from results.records import read_records
from tests.harness.conftest import Slurm
from tests.harness.made import make_grid, make_profile
from tests.harness.place import Place


def snapshot(folder: Path) -> list[tuple[Path, int]]:
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_a_grid_is_measured_and_reported(swept: Place, capsys: pytest.CaptureFixture[str]) -> None:
    plain, reduced = swept.cells(capsys)
    assert plain["status"] == reduced["status"] == "done"
    assert plain["value"] > reduced["value"] > 0
    assert status.main(["--runs", str(swept.runs)]) == 0
    assert "count" in capsys.readouterr().out


def test_a_second_run_does_no_work(swept: Place) -> None:
    before = snapshot(swept.runs)
    done = swept.sweep()
    assert (done.returncode, done.stderr) == (0, "")
    first, last = done.stdout.splitlines()
    assert first == "2 cells, 2 done already; 0 tasks of 0 jobs on this machine"
    assert last.startswith("2 of 2 cells have a record; python -m harness.report ")
    assert snapshot(swept.runs) == before


def test_a_killed_driver_is_replaced_nothing_is_submitted_twice_and_each_cell_alone_gives_the_same(
    swept: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path, setup=["until [ -e go ]; do sleep 0.1; done"])
    command = [sys.executable, "-m", "harness.sweep", *place.arguments("--no-fuse")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout
        assert "2 tasks of 2 jobs" in driver.stdout.readline()
        driver.send_signal(signal.SIGKILL)
    before = read_progress(place.runs)
    assert "0 tasks of 2 jobs" in place.sweep("--no-wait").stdout
    (tmp_path / "go").touch()
    done = place.sweep()
    assert done.returncode == 0, done.stderr
    after = read_progress(place.runs)
    assert [job.attempt for job in after] == [1, 1]
    assert [job.entries[0].id for job in after] == [job.entries[0].id for job in before]
    assert [job.tasks[0].restarts for job in after] == [0, 0]
    assert [cell["value"] for cell in place.cells(capsys)] == [cell["value"] for cell in swept.cells(capsys)]


def test_a_job_that_fails_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken" / "torch.py"
    broken.parent.mkdir()
    broken.write_text("raise ImportError('torch is built for other machines')")
    place = Place(tmp_path, retries=0, setup=[f"export PYTHONPATH={broken.parent}"])
    done = place.sweep()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("job ")
    assert " (grid) failed: " in line
    assert "torch is built for other machines" in line
    assert done.stdout.splitlines()[-1].startswith("0 of 2 cells have a record")
    assert {cell["status"] for cell in place.cells(capsys)} == {"failed"}
    assert place.sweep("--dry-run").stdout.startswith("2 cells, 0 done already, 1 job to run")


def test_records_that_cannot_be_listed_are_never_taken_for_none(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.runs.mkdir()
    (place.runs / "records").write_text("in the way")
    done = place.sweep()
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == f"error: the records in {place.runs} cannot be listed: Not a directory; see --runs"
    assert not (place.runs / "jobs").exists()


def test_a_job_that_dies_without_a_word_does_not_keep_us_waiting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path, setup=["echo no such module", "false"])
    done = place.sweep()
    assert done.returncode == 1
    (job,) = read_progress(place.runs)
    why = "its process ended without an error message (killed, or out of memory?)"
    assert [line for line in done.stdout.splitlines() if "started again" in line] == [
        f"job {job.id} (grid) started again: {why}",
        f"job {job.id} (grid) started again: {why}; 2 tries",
    ]
    assert f"job {job.id} (grid) failed: {why}" in done.stderr
    assert job.attempt == 3
    assert status.main(["--runs", str(place.runs), "--log", job.id]) == 0
    assert "no such module" in capsys.readouterr().out
    assert {cell["status"] for cell in place.cells(capsys)} == {"failed"}


def test_on_a_cluster(tmp_path: Path, slurm: Slurm, swept: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(tmp_path, executor="slurm", tasks=1, cpus_per_task=2, parallel=2)
    done = place.sweep("--no-fuse")
    assert done.returncode == 0, done.stderr
    assert "2 tasks of 2 jobs on SLURM" in done.stdout
    assert "--array=0-1%2" in slurm.scripts[0]
    assert [cell["value"] for cell in place.cells(capsys)] == [cell["value"] for cell in swept.cells(capsys)]
    for record in read_records(place.runs)[0]:
        assert record.provenance["slurm"]["array_job_id"] == "100"


def test_cancelling_on_a_cluster_and_sweeping_again(
    tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.put("hold")
    place = Place(tmp_path, executor="slurm", tasks=1)
    assert sweep.main(place.arguments("--no-wait")) == 0
    assert {cell["status"] for cell in place.cells(capsys)} == {"pending"}
    assert status.main(["--runs", str(place.runs), "--cancel", "grid"]) == 0
    assert slurm.state("100") == "CANCELLED by 0"
    slurm.set_state("100", "CANCELLED by 0")
    assert {cell["status"] for cell in place.cells(capsys)} == {"failed"}
    assert sweep.main(place.arguments("--no-wait")) == 0
    assert "1 task of 1 job on SLURM" in capsys.readouterr().out
    assert slurm.state("101") == "PENDING"
    assert {cell["status"] for cell in place.cells(capsys)} == {"pending"}


def test_hints_name_the_runs_folder(
    tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    slurm.put("hold")
    place = Place(tmp_path, executor="slurm", tasks=1)
    hint = f"see python -m harness.status --runs {place.runs}\n"
    monkeypatch.setattr("harness.following.watch.wait", interrupted)
    assert sweep.main(place.arguments()) == 1
    assert capsys.readouterr().err == f"no longer waiting; the jobs keep running, {hint}"
    monkeypatch.setattr("harness.following.watch.wait", lambda *_: None)
    monkeypatch.setattr(sweep, "SAID", 0)
    assert sweep.main(place.arguments()) == 1
    assert capsys.readouterr().err == f"and 1 more job failed; {hint}"


def test_a_dry_run_shows_jobs_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(tmp_path)
    before = snapshot(tmp_path)
    arguments = ["table2", "table3", *place.arguments("--dry-run")[1:]]
    assert sweep.main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("32 cells, 0 done already, 2 jobs to run")
    assert "for table3: count, 5 cells" in printed
    assert "for table2, table3: evaluate, 25 cells" in printed
    assert "vit_demo sta:r=12 motion 16x3 top1" in printed
    assert "submitted as (local):" in printed
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "name a table: figure1, figure2, main-figure4, main-figure5, main-table1, "),
        (
            ["table9"],
            "unknown table 'table9'; valid tables: figure1, figure2, main-figure4, main-figure5, main-table1, ",
        ),
        (["nowhere.toml"], "cannot read table nowhere.toml: No such file or directory"),
        (["bad.toml"], "table bad.toml: "),
        (["table2", "--profile", "cluster"], "unknown profile 'cluster'; valid profiles: demo, v100, or your own TOML"),
        (["table2", "--profile", "bad.toml"], "profile bad.toml: "),
        (["table2", "--profile", "v100"], "needs $"),
        (
            ["table2", "--set", "evaluate.size=3"],
            "unknown key 'evaluate.size'; valid keys there: precision, compile, ",
        ),
        (["table2", "--set", "evaluate.block=x"], "evaluate.block must be a whole number, not 'x'"),
        (["table2", "--limit", "0"], "argument --limit: '0' is not a whole number of at least 1"),
        (["table2", "--limit", "-3"], "argument --limit: "),
        (["table2", "--limit", "9" * 5000], "argument --limit: '99999999999999999999' is not a whole number"),
        (["table2", "--fast"], "unrecognized arguments: --fast"),
        (["table2", "--runs", "bad.toml"], "argument --runs: bad.toml is not a folder"),
        (["table2", "--set", "datasets.motion.labels=none.txt"], "cannot read the label file of motion, "),
        (["table2", "--set", "checkpoints.vit_demo/motion=none.pth"], "none.pth: No such file or directory"),
        (
            ["table2", "--set", "stand_in.models.vit_large=vit_small"],
            'profile small has no checkpoints."vit_small/motion"',
        ),
        (
            ["table2", "--set", "stand_in.models.vit_large=vit_tiny"],
            "unknown model 'vit_tiny'; valid models: vit_small",
        ),
        (["table2", "--set", "stand_in.datasets.k400=ucf"], "profile small has no dataset 'ucf'; its datasets: motion"),
        (["large.toml"], "large, row 'sta:r=99', column 'vit_base': sta:r=99: r is at most half of"),
        (["metric.toml"], "unknown metric 'top9'; valid metrics: top1, top5, gflops, clips_per_s, latency_ms"),
        (["views.toml"], "views, row 'none', column '0x3': bad views '0x3'; write CLIPSxCROPS, as in 5x3"),
        (["table3", "--set", "launch.executor=slurm", "--set", "launch.tasks=2"], "there is no sinfo on this machine"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    expected: str,
) -> None:
    for name in ("K400", "SSV2", "CHECKPOINTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    make_profile(tmp_path)
    (tmp_path / "bad.toml").write_text("[rows\n")
    make_grid(tmp_path / "large.toml", ["sta:r=99"], ["vit_base"])
    make_grid(tmp_path / "metric.toml", ["none"], ["vit_base"])
    (tmp_path / "metric.toml").write_text((tmp_path / "metric.toml").read_text().replace("gflops", "top9"))
    common = 'model = "vit_base"\ndataset = "k400"\nmetric = "top1"\n'
    (tmp_path / "views.toml").write_text(common + '[rows]\nreduction = ["none"]\n[columns]\nviews = ["0x3"]\n')
    if "--profile" not in arguments:
        arguments = [*arguments, "--profile", "small.toml"]
    assert run(lambda: sweep.main(arguments)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("error: ")
    assert expected in line
    left = list((tmp_path / "runs").iterdir()) if (tmp_path / "runs").exists() else []
    assert left == [], "wrong usage leaves nothing behind"


def test_data_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(tmp_path)
    missing = ["--set", "datasets.motion.labels={runs}/val.txt", "--set", "datasets.motion.prepare=no_such_module"]
    assert sweep.main(["table2", *place.arguments(*missing)[1:]]) == 2
    assert "no_such_module" in capsys.readouterr().err.splitlines()[-1]


def test_the_control_plane_loads_nothing_heavy() -> None:
    script = "import sys, harness.report, harness.status, harness.sweep; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    heavy = {"torch", "pandas", "numpy", "submitit", "rich", "cv2", "av", "decord", "timm", "transformers", "tabulate"}
    assert heavy.isdisjoint(loaded.stdout.split())


def test_planning_loads_nothing_heavy_either(tmp_path: Path) -> None:
    place = Place(tmp_path)
    script = f"import sys; from harness import sweep; sweep.main({place.arguments('--dry-run')}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert {"torch", "pandas", "numpy", "cv2", "av", "decord"}.isdisjoint(loaded.stdout.splitlines()[-1].split())


def test_the_list_names_all_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.main(["--list"]) == 0
    text = capsys.readouterr().out
    names = [*table_names(), *ARCHITECTURES, *METRICS, *profile_names(), "motion"]
    assert [name for name in names if f"\n  {name} " not in text] == []
    assert "\n  sta:r=…,at=…,first=…,order=…," in text


def test_ctrl_c_stops_the_local_jobs(tmp_path: Path) -> None:
    place = Place(tmp_path, setup=["until [ -e go ]; do sleep 0.1; done"])
    command = [sys.executable, "-m", "harness.sweep", *place.arguments()]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # Where the tests run in the background of a script, SIGINT is ignored, and so it would be in the driver.
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), "start_new_session": True}
    with subprocess.Popen(command, text=True, **heeding, **pipes) as driver:
        try:
            assert driver.stdout
            driver.stdout.readline()
            assert [state_of(job) for job in read_progress(place.runs)] == ["queued"]
            os.killpg(driver.pid, signal.SIGINT)  # as a terminal does
            _, errors = driver.communicate(timeout=60)
        finally:
            driver.kill()
    assert (driver.returncode, errors) == (
        1,
        "stopped; run the same command to resume, and harness.status shows what still runs\n",
    )
    deadline = time.monotonic() + 30
    while [state_of(job) for job in read_progress(place.runs)] != ["lost"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
