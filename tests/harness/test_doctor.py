"""The doctor: a line for each thing that would go wrong, told before anything waits on it."""

import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import doctor
from harness.checking import packages, runs_folder
from tests.bad_videos import numbered_frames, write_video
from tests.harness.conftest import Slurm
from tests.harness.made import make_grid, make_profile

GRID = """
model = "{model}"
dataset = "motion"
views = "1x1"
[rows]
reduction = ["none"]
[columns]
metric = ["{metric}"]
"""
SLURM = {"executor": "slurm", "tasks": 2, "cpus_per_task": 2}


@pytest.fixture(autouse=True)
def _no_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages are taken to be there: importing them takes most of the time."""
    monkeypatch.setattr(packages, "IMPORT", "import sys\nfor name in sys.argv[1:]: print('imported', name, '1.0')")


def examine(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    *arguments: str,
    metric: str = "top1",
    model: str = "vit_demo",
    mutate: Callable[[Path], object] = lambda folder: None,
    **launch: object,
) -> tuple[int, list[str]]:
    """The exit code and the lines of the doctor, of a grid on a profile whose videos are there, after `mutate`."""
    profile = make_profile(folder, stand_in=False, **launch)
    for number in range(80):
        (folder / f"{number}.mp4").write_bytes(VIDEO)
    grid = folder / "grid.toml"
    grid.write_text(GRID.format(model=model, metric=metric))
    mutate(folder)
    common = [str(grid), "--profile", str(profile), "--runs", str(folder / "runs"), "--no-trial"]
    code = doctor.main([*common, *arguments])
    return code, [re.sub(" +", " ", line) for line in capsys.readouterr().out.splitlines()]


def without_ok(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("ok ")]


def test_where_all_is_well_every_line_is_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = examine(tmp_path, capsys, metric="top1_trained", cpus_per_task=2)
    assert without_ok(lines) == []
    assert code == 0
    assert [line.split(":")[0] for line in lines] == [
        "ok profile", "ok tables", "ok labels of motion", "ok labels of motion", "ok cores", "ok machine",
        "ok packages", "ok packages", "ok runs folder", "ok links", "ok clock", "ok disk",
    ]  # fmt: skip
    assert "80 videos, labels 0 … 15; 20 sampled are there" in lines[2]


def _video() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_video(Path(folder) / "video.mp4", numbered_frames(3)).read_bytes()


VIDEO = _video()


def _write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def _without_videos(folder: Path) -> None:
    for file in folder.glob("*.mp4"):
        file.unlink()


@pytest.mark.parametrize(
    ("mutate", "said"),
    [
        (_write("val.txt", "0.mp4 0\n1.mp4 16\n"), r"wrong labels of motion: .*line 2: the label 16 is not in 0 … 15"),
        (_write("val.txt", "0.mp4\n"), r"wrong labels of motion: .*line 1: '0.mp4' is not a path, a space and a label"),
        (_write("val.txt", "0.mp4 0\n1.mp4 1\n"), "warning labels of motion: .*only 2 of datasets.motion.num_classes"),
        (
            _write("0.mp4", ""),
            "warning labels of motion: .*; 1 of 20 sampled videos cannot be read, the first: .*empty",
        ),
        (_without_videos, "wrong labels of motion: .*20 of 20 .*No such file.*is datasets.motion.root, .*, right"),
        (
            lambda folder: (folder / "val.txt").unlink(),
            "wrong tables: grid: cannot read the label file of motion, .*No",
        ),
        (_write("weights.bin", ""), "wrong tables: grid: the checkpoint of vit_demo/motion, .*: an empty file"),
        (
            lambda folder: (folder / "weights.bin").unlink(),
            "wrong tables: grid: cannot read the checkpoint of vit_demo",
        ),
        (lambda folder: _open_to_all(folder / "runs"), "wrong runs folder: others can write to .*chmod go-w"),
    ],
)
def test_what_is_wrong_with_the_files(
    mutate: Callable[[Path], object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = examine(tmp_path, capsys, mutate=mutate)
    found = without_ok(lines)
    assert re.match(said, found[0])
    assert len(found) == 1
    assert code == said.startswith("wrong")


def _open_to_all(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def test_a_path_with_a_variable_that_is_not_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    code, lines = examine(tmp_path, capsys, "--set", "datasets.motion.root=$NO_SUCH")
    assert code == 1
    assert without_ok(lines)[0].endswith("the path $NO_SUCH needs $NO_SUCH, which is not set")


def test_a_runs_folder_without_links_and_with_another_clock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    now = time.time()
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(time, "time", lambda: now - 60)
    monkeypatch.setattr(runs_folder, "LOW", 2**80)
    code, lines = examine(tmp_path, capsys)
    assert [line.split(" ")[1] for line in without_ok(lines)] == ["links:", "clock:", "disk:"]
    assert "s ahead of this machine: synchronise its clock" in lines[-2]
    assert code == 0, "warnings only"


def test_what_cannot_be_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "import sys\nif 'decord' in sys.argv: sys.exit(9)\nprint('missing torch OSError no libcuda')"
    monkeypatch.setattr(packages, "IMPORT", broken)
    code, lines = examine(tmp_path, capsys)
    wrong = [line.partition(" cannot be imported by ")[::2] for line in without_ok(lines)]
    assert [(name, why.partition(": ")[2]) for name, why in wrong] == [
        ("wrong packages: torch", "OSError no libcuda"),
        ("wrong packages: timm", "the process ended with exit code 0"),
        ("wrong packages: decord", "the process ended with exit code 9"),
    ]
    assert code == 1


def test_without_tables_those_are_looked_at_that_can_be_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = make_profile(tmp_path, cpus_per_task=2)
    for number in range(64):
        (tmp_path / f"{number}.mp4").write_bytes(VIDEO)
    options = ["--profile", str(profile), "--runs", str(tmp_path / "runs"), "--no-trial", "--set", "pretrained={}"]
    assert doctor.main(options) == 0
    said = capsys.readouterr().out
    assert re.search("ok +tables: figure1, .*table2, table3", said)
    assert re.search('warning +tables: table1: profile small has no pretrained."vit_demo/motion"; set it', said)
    assert doctor.main([*options, "table1"]) == 1
    assert re.search('wrong +tables: table1: profile small has no pretrained."vit_demo', capsys.readouterr().out)


def test_wrong_usage_and_a_profile_that_does_not_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["table9"]) == 2
    assert "unknown table 'table9'" in capsys.readouterr().err
    assert doctor.main(["--profile", "nowhere"]) == 1
    assert capsys.readouterr().out.startswith("wrong    profile: unknown profile 'nowhere'; valid profiles: demo")


def test_on_slurm(tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = examine(tmp_path, capsys, **SLURM)
    assert without_ok(lines) == []
    assert code == 0
    assert [line for line in lines if re.match("ok (SLURM|site|accounting|sbatch)", line)] == [
        "ok SLURM: answers; version unknown, arrays of 1001 tasks",
        "ok site: partition (the default) can run what is asked for",
        "ok accounting: sacct answers, so the reason why a job ended is known",
        "ok sbatch: grid.vit_demo.none.motion.1x1.top1 would be accepted, and start at 2026-01-02T03:04:05",
    ]
    assert slurm.scripts == [], "nothing was submitted"


def test_what_is_wrong_on_slurm(tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]) -> None:
    slurm.put("sacct_down")
    slurm.put("refuse", "sbatch: error: invalid partition specified: gpu")
    code, lines = examine(tmp_path, capsys, "--set", "launch.account=lab", **SLURM | {"cpus_per_task": 1})
    assert code == 1
    assert [line.partition(":")[0] for line in without_ok(lines)] == [
        "warning cores", "unknown site", "warning accounting", "wrong sbatch",
    ]  # fmt: skip
    assert lines[-2].startswith(
        "warning accounting: sacct says 'error: Unable to connect to database'; the reason why a job ended"
    )
    assert lines[-1].startswith("wrong sbatch: SLURM would refuse grid.vit_demo")
    assert lines[-1].endswith(": invalid partition specified: gpu (see launch.partition in the profile)")


def test_a_profile_that_slurm_cannot_serve_is_not_tried(
    tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = make_profile(tmp_path, partition="long", **SLURM)
    grid = make_grid(tmp_path / "grid.toml", ["none"])
    assert doctor.main([str(grid), "--profile", str(profile), "--runs", str(tmp_path / "runs")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith(
        "wrong    site: profile small: launch.partition 'long' is unknown here; partitions: gpu"
    )
    assert lines[-1] == "warning  trial: skipped until the errors above are fixed"
    assert slurm.scripts == []


def test_gpu_code_is_asked_for_where_the_profile_names_the_gpus(
    tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.running.gpu_support.installed_torch", lambda: ("2.14.1+cu130", ["sm_75"]))
    gpu = SLURM | {"gpus_per_task": 1}
    assert "warning GPU code: launch.gpu_arch is not set" in "\n".join(examine(tmp_path, capsys, **gpu)[1])
    code, lines = examine(tmp_path, capsys, **gpu | {"gpu_arch": "sm_70"})
    assert code == 1
    assert "a V100 needs a CUDA 12.6 build" in without_ok(lines)[0]
