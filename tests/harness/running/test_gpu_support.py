"""A GPU that the installed PyTorch has no code for is refused before anything is submitted, with the remedy."""

from pathlib import Path

import pytest

from harness.planning.plan import make_plan
from harness.profiles import load_profile
from harness.running import gpu_support, launch
from harness.running.gpu_support import check_gpu_code, installed_torch
from jobs.node.gpu_code import has_code
from jobs.spec.cells import Cell
from tests.harness.conftest import Slurm
from tests.harness.made import make_planner, make_table

CUDA_13 = ("2.14.1+cu130", ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"])
CUDA_12 = ("2.14.1+cu126", ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"])


@pytest.mark.parametrize(
    ("code", "runs_on", "not_on"),
    [
        ("sm_80", (80, 86, 89), (75, 90, 120)),
        ("sm_100", (100, 103), (90, 110, 120)),
        ("sm_90a", (90,), (80, 100)),
        ("sm_100f", (100, 103), (120,)),
        ("compute_90", (90, 100, 120), (80, 89)),
        ("compute_90a", (90,), (100,)),
        ("gfx90a", (), (90,)),
    ],
)
def test_what_code_runs_on_which_gpu(code: str, runs_on: tuple[int, ...], not_on: tuple[int, ...]) -> None:
    assert all(has_code([code], capability) for capability in runs_on)
    assert not any(has_code([code], capability) for capability in not_on)


def test_a_v100_and_a_build_for_cuda_13(tmp_path: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"executor": "slurm", "tasks": 1, "gpus_per_task": 1, "gpu_arch": "sm_70"}
    planner, runs = make_planner(tmp_path, **options), tmp_path / "runs"
    slurm.put("hold")
    count, timing = Cell("vit_demo", "none", "", "", "gflops"), Cell("vit_demo", "none", "", "", "clips_per_s")
    plan = make_plan([make_table([count, timing])], planner, ())
    monkeypatch.setattr(gpu_support, "installed_torch", lambda: CUDA_13)
    assert launch.scripts(plan, planner.profile, runs)
    with pytest.raises(ValueError, match="sm_70") as caught:
        launch.submit(plan, planner.profile, runs)
    assert str(caught.value) == (
        "profile small runs on sm_70 (launch.gpu_arch), and the installed PyTorch 2.14.1+cu130 has code for sm_75, "
        "sm_80, sm_86, sm_90, sm_100, sm_120, compute_120 only; a V100 needs a CUDA 12.6 build (cu126) of torch and "
        "torchvision"
    )
    assert slurm.scripts == []
    assert not runs.exists()
    only_count = make_plan([make_table([count])], planner, ())
    assert launch.submit(only_count, planner.profile, runs).tasks == 1, "no GPU is used"
    monkeypatch.setattr(gpu_support, "installed_torch", lambda: CUDA_12)
    assert launch.submit(plan, planner.profile, runs).tasks == 1


def test_the_gpus_here_are_those_that_nvidia_smi_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\nprintf '9.0\\n7.0\\n'\n")
    command.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(gpu_support, "installed_torch", lambda: CUDA_13)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    check_gpu_code(load_profile("demo"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(ValueError, match=r"profile demo runs on sm_70 \(nvidia-smi\)"):
        check_gpu_code(load_profile("demo"))
    unset = check_gpu_code(load_profile("v100", ["launch.gpu_arch="]))  # its nodes' GPUs are not those of this machine
    assert unset.startswith("launch.gpu_arch is not set")


def test_a_pytorch_for_cpus_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_support, "installed_torch", lambda: ("2.14.1+cpu", []))
    with pytest.raises(ValueError, match="has code for no GPU; a GPU of sm_90 needs another build"):
        check_gpu_code(load_profile("demo", ["launch.gpu_arch=sm_90"]))


def test_the_installed_pytorch_is_asked_and_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    found = installed_torch()
    assert found
    assert found[0][0].isdigit()
    monkeypatch.setattr(gpu_support, "ASK", "import no_such_module")
    assert installed_torch() is None
    check_gpu_code(load_profile("v100"))
