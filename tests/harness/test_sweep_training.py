"""Sweeps with trainings: the data they need is made, and cells that they will not answer are left out aloud."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import sweep
from harness.planning.planner import Planner
from harness.profiles import load_profile
from harness.running.submission import Sent
from jobs.data import demo
from jobs.spec.cells import Cell
from tests.harness.conftest import Slurm
from tests.harness.made import put_record
from tests.harness.place import Place


def test_the_splits_that_are_missing_are_made_and_the_others_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    (tmp_path / "table.toml").write_text(
        'dataset = "motion"\nreduction = "none"\nviews = "1x1"\n'
        '[rows]\nmetric = ["top1", "train_hours"]\n[columns]\nmodel = ["vit_demo"]\n'
    )
    (tmp_path / "maker.py").write_text("import sys; print('made', *sys.argv[2:]); sys.exit(1)\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")

    def made() -> list[str]:
        arguments = ["table.toml", *place.arguments("--set", "datasets.motion.prepare=maker")[1:]]
        done = subprocess.run([sys.executable, "-m", "harness.sweep", *arguments], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.endswith(" failed\n")
        return done.stdout.splitlines()

    for name in ("train.txt", "val.txt"):
        (tmp_path / name).unlink()
    asked = "made --split val --split train"
    assert made() == ["making the videos of motion (val and train) …", asked]
    (tmp_path / "val.txt").touch()
    assert made() == ["making the videos of motion (train) …", asked]
    (tmp_path / "train.txt").touch()
    assert made() == [asked]


def test_generated_videos_that_were_replaced_are_measured_anew_and_those_of_another_version_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("launch.submit", "watch.wait"):
        monkeypatch.setattr(f"harness.sweep.{name}", lambda *_: Sent())
    small = Place(tmp_path).profile
    profile = tmp_path / "generated.toml"
    profile.write_text(
        small.read_text().replace('sampling = "kinetics"', 'sampling = "kinetics"\nprepare = "jobs.data.demo"')
    )
    for video in demo.SET.videos("val"):
        (tmp_path / video.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / video.path).write_bytes(b"made")
    listed = (tmp_path / "val.txt").read_text()
    cell = Cell("vit_demo", "none", "motion", "1x1", "top1")
    (tmp_path / "table.toml").write_text(
        'model = "vit_demo"\ndataset = "motion"\nviews = "1x1"\nmetric = "top1"\n'
        '[[rows]]\nlabel = "none"\n[columns]\nreduction = ["none"]\n'
    )
    arguments = ["table.toml", "--profile", str(profile), "--runs", str(tmp_path / "runs")]

    def done() -> int:
        sweep.main(arguments)
        printed = capfd.readouterr()
        assert "videos other than the package's" in printed.out
        return int(re.findall(r"1 cell, (\d) done already", printed.out)[0])

    assert done() == 0
    job = Planner(load_profile(str(profile)), tmp_path / "runs").job([cell])
    put_record(tmp_path / "runs", cell, id=job.record_id(cell), settings=job.settings(cell))
    assert done() == 1
    (tmp_path / demo.SET.videos("val")[5].path).write_bytes(b"replaced")
    assert done() == 0
    assert (tmp_path / "val.txt").read_text() == listed, "a list that is there may have been corrected"

    (tmp_path / "VERSION").write_text("demo-0\n")
    assert sweep.main(arguments) == 2
    printed = capfd.readouterr()
    assert f"{tmp_path} holds demo-0, and this is {demo.SET.version}" in printed.err
    assert "done already" not in printed.out


def test_cells_that_some_steps_of_training_do_not_answer(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.put("hold")
    monkeypatch.setattr("harness.following.watch.wait", lambda *_: None)
    place = Place(tmp_path, executor="slurm", tasks=1)
    arguments = ["table1", *place.arguments("--set", "train.measure_steps=5")[1:]]
    line = "2 cells are left out: train.measure_steps = 5 trains 5 steps only\n"
    assert sweep.main([*arguments, "--dry-run"]) == 0
    assert line in capsys.readouterr().out
    assert sweep.main(arguments) == 1
    assert line in capsys.readouterr().out
