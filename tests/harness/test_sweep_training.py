"""Sweeps with trainings: the data they need is made, and cells that they will not answer are left out aloud."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import sweep
from tests.harness.conftest import Slurm
from tests.harness.place import Place


def test_the_splits_that_are_missing_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path)
    (tmp_path / "table.toml").write_text(
        'dataset = "motion"\nreduction = "none"\nviews = "1x1"\n'
        '[rows]\nmetric = ["top1", "train_hours"]\n[columns]\nmodel = ["vit_demo"]\n'
    )
    (tmp_path / "maker.py").write_text("import sys; print('made', *sys.argv[2:]); sys.exit(1)\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")

    def made() -> str:
        arguments = ["table.toml", *place.arguments("--set", "datasets.motion.prepare=maker")[1:]]
        done = subprocess.run([sys.executable, "-m", "harness.sweep", *arguments], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.endswith(" failed\n")
        return done.stdout.splitlines()[-1]

    for name in ("train.txt", "val.txt"):
        (tmp_path / name).unlink()
    assert made() == "made --split val --split train"
    (tmp_path / "val.txt").touch()
    assert made() == "made --split train"


def test_cells_that_some_steps_of_training_do_not_answer(
    tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.put("hold")
    monkeypatch.setattr("harness.watch.wait", lambda *_: None)
    place = Place(tmp_path, executor="slurm", tasks=1)
    arguments = ["table1", *place.arguments("--set", "train.measure_steps=5")[1:]]
    line = "2 cells are left out: train.measure_steps = 5 trains 5 steps only\n"
    assert sweep.main([*arguments, "--dry-run"]) == 0
    assert line in capsys.readouterr().out
    assert sweep.main(arguments) == 1
    assert line in capsys.readouterr().out
