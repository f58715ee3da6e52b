"""Label lists and weights are looked at before anything is queued, by a sweep and by the doctor."""

from pathlib import Path

import pytest

from harness import doctor, sweep
from harness.checking import inputs
from harness.running import job_files
from harness.running.job_files import problems_of_weights
from tests.harness.conftest import Slurm
from tests.harness.made import make_profile
from tests.jobs.small_set import make_weights

TABLE = (
    'model = "vit_demo"\ndataset = "motion"\nviews = "1x1"\nmetric = "top1"\n'
    '[rows]\nreduction = ["none"]\n[[columns]]\nlabel = "top-1"\n'
)


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slurm: Slurm) -> list[str]:
    """Of a table on SLURM, whose weights are really looked at."""
    for module in (job_files, inputs):
        monkeypatch.setattr(module, "problems_of_weights", problems_of_weights)
    slurm.put("hold")
    profile = make_profile(tmp_path, executor="slurm", tasks=1)
    (tmp_path / "table.toml").write_text(TABLE)
    return [str(tmp_path / "table.toml"), "--profile", str(profile), "--runs", str(tmp_path / "runs")]


def test_weights_that_are_none_are_said_before_anything_is_queued(
    tmp_path: Path, arguments: list[str], slurm: Slurm, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "weights.bin").write_text("<html>sign in</html>")
    said = f"{tmp_path}/weights.bin is a web page, not a checkpoint; download the file itself"
    assert sweep.main(arguments) == 2
    assert capsys.readouterr().err == f"error: {said}\n"
    assert doctor.main([*arguments, "--no-trial"]) == 1
    assert f"wrong    weights: {said}\n" in capsys.readouterr().out
    assert slurm.scripts == []
    assert not list((tmp_path / "runs").glob("jobs/*"))


def test_a_label_list_that_cannot_be_parsed_is_said_before_anything_is_queued(
    tmp_path: Path, arguments: list[str], slurm: Slurm, capsys: pytest.CaptureFixture[str]
) -> None:
    make_weights(tmp_path / "weights.safetensors").rename(tmp_path / "weights.bin")
    (tmp_path / "val.txt").write_text("a.mp4 3\nb.mp4 16\n")
    assert sweep.main(arguments) == 2
    printed = capsys.readouterr()
    assert f"{tmp_path}/val.txt, line 2: " in printed.err
    assert printed.err.count("\n") == 1
    assert slurm.scripts == []


def test_what_is_right_is_queued(tmp_path: Path, arguments: list[str], slurm: Slurm) -> None:
    make_weights(tmp_path / "weights.safetensors")
    setting = f'checkpoints."vit_demo/motion"="{tmp_path}/weights.safetensors"'
    assert sweep.main([*arguments, "--no-wait", "--set", setting]) == 0
    assert len(slurm.scripts) == 1
