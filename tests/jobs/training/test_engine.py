import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from jobs.spec.recipe import Recipe, accumulation
from jobs.training.engine import StateFiles, make_schedule


def literal_lr(recipe: Recipe, step: int, updates: int, an_epoch: int) -> float:
    """VideoMAE's schedule: linear from warmup_lr, then half a cosine down to min_lr."""
    warm = round(recipe.warmup_epochs * an_epoch)
    if step < warm:
        return recipe.warmup_lr + step * (recipe.lr - recipe.warmup_lr) / warm
    done = (step - warm) / (updates - warm)
    return recipe.min_lr + 0.5 * (recipe.lr - recipe.min_lr) * (1 + math.cos(math.pi * done))


def test_the_learning_rate_of_every_step_and_layer() -> None:
    recipe = Recipe(warmup_epochs=2.0)
    assert recipe.lr == pytest.approx(5e-4)
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr_scale": scale} for scale in (1.0, 0.75)]
    optimizer = torch.optim.SGD(groups, lr=recipe.lr)
    job: Any = SimpleNamespace(recipe=recipe)
    schedule = make_schedule(job, SimpleNamespace(optimizer=optimizer), 80, 10)
    for step in (0, 1, 19, 20, 21, 50, 79, 3):
        schedule.step_update(step)
        expected = literal_lr(recipe, step, 80, 10)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([expected, 0.75 * expected])


@pytest.mark.parametrize(
    ("processes", "micro_batch", "steps"), [(32, 4, 1), (8, 4, 4), (1, 4, 32), (1, 128, 1), (16, 2, 4)]
)
def test_the_batch_stays_whatever_it_is_divided_among(processes: int, micro_batch: int, steps: int) -> None:
    assert accumulation(128, processes, micro_batch) == steps


@pytest.mark.parametrize(
    ("processes", "micro_batch", "right"),
    [
        (24, 4, "numbers of processes that do: 4, 8, 16, 32"),
        (32, 3, "with 32 processes a micro-batch of 1, 2, 4 does"),
        (1, 256, "1, 2, 4, 8, 16, 32, 64, 128 does"),
    ],
)
def test_what_cannot_be_divided_is_refused_with_what_can(processes: int, micro_batch: int, right: str) -> None:
    with pytest.raises(ValueError, match="a batch of 128 videos cannot be divided into") as caught:
        accumulation(128, processes, micro_batch)
    assert str(caught.value).endswith(right)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("executed",)


def test_states_hold_plain_data_and_run_nothing(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    files = StateFiles()
    state = {"step": 3, "names": {"a", "b"}, "weights": torch.arange(3.0), "list": [None, 1.5]}
    files.save(state, str(tmp_path / "good.pt"))
    found = files.load(str(tmp_path / "good.pt"))
    assert torch.equal(found.pop("weights"), state.pop("weights"))
    assert found == state
    files.save({"evil": Evil()}, str(tmp_path / "evil.pt"))
    with pytest.raises(Exception, match="print"):
        files.load(str(tmp_path / "evil.pt"))
    assert "executed" not in capsys.readouterr().out
    assert files.failures == []


def test_a_write_that_fails_is_remembered(tmp_path: Any) -> None:
    files = StateFiles()
    files.save({}, str(tmp_path / "no" / "such" / "folder"))
    files.makedirs("/dev/null/folder")
    assert len(files.failures) == 2
    assert files.failures[0] == "No such file or directory"
