import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.training.restarts import RestartStore


class Engine:
    """Stands in for DeepSpeed's: its whole state is a number."""

    def __init__(self) -> None:
        self.state = 0
        self.checkpoint_engine = SimpleNamespace(failures=[])
        self.full = False

    def save_checkpoint(self, folder: str, tag: str, save_latest: bool) -> None:
        assert not save_latest
        (Path(folder) / tag / "state").write_text(str(self.state))
        if self.full:
            self.checkpoint_engine.failures.append(os.strerror(errno.ENOSPC))

    def load_checkpoint(self, folder: str, tag: str, load_lr_scheduler_states: bool) -> None:
        self.state = int((Path(folder) / tag / "state").read_text())


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def store(tmp_path: Path) -> RestartStore:
    gang: Any = SimpleNamespace(rank=0, gather=lambda value: [value])
    return RestartStore(tmp_path / "restart", gang)


def keep(store: RestartStore, engine: Engine, *steps: int) -> None:
    for step in steps:
        engine.state = step
        assert store.save(engine, step, {"done": step}) == ""


def test_the_newest_state_is_taken_and_old_ones_go(store: RestartStore, engine: Engine) -> None:
    assert store.load(engine) == (None, [])
    keep(store, engine, 5, 10, 15)
    engine.state = 0
    assert store.load(engine) == ({"done": 15}, [])
    assert engine.state == 15
    assert sorted(os.listdir(store.folder)) == ["step-000000010", "step-000000015"]


def test_a_half_written_state_is_never_taken(store: RestartStore, engine: Engine) -> None:
    keep(store, engine, 5)
    half = store.folder / ".step-000000010"
    half.mkdir()
    (half / "state").write_text("10")
    assert store.load(engine) == ({"done": 5}, [])
    keep(store, engine, 10)
    assert store.load(engine) == ({"done": 10}, [])
    assert not half.exists()


@pytest.mark.parametrize("damage", ["shorter", "missing", "no list"])
def test_a_damaged_state_is_named_and_its_predecessor_taken(damage: str, store: RestartStore, engine: Engine) -> None:
    keep(store, engine, 5, 10)
    newest = store.folder / "step-000000010"
    if damage == "shorter":
        (newest / "state").write_text("1")
    elif damage == "missing":
        (newest / "state").unlink()
    else:
        (newest / "whole.json").write_text("{")
    position, refused = store.load(engine)
    assert position == {"done": 5}
    assert engine.state == 5
    assert len(refused) == 1
    assert refused[0].startswith("the kept state step-000000010 is damaged and set aside: ")


def test_on_a_full_disk_the_last_good_state_stays(store: RestartStore, engine: Engine) -> None:
    keep(store, engine, 5, 10)
    engine.full = True
    assert store.save(engine, 15, {}) == "No space left on device"
    assert sorted(os.listdir(store.folder)) == ["step-000000005", "step-000000010"]
    engine.full = False
    keep(store, engine, 20)
    assert store.load(engine)[0] == {"done": 20}


def test_where_no_folder_can_be_made(tmp_path: Path, engine: Engine) -> None:
    gang: Any = SimpleNamespace(rank=0, gather=lambda value: [value])
    (tmp_path / "file").write_text("")
    assert RestartStore(tmp_path / "file", gang).save(engine, 1, {}) == "File exists"


def test_a_state_that_cannot_be_read_though_it_looks_whole(store: RestartStore, engine: Engine) -> None:
    keep(store, engine, 50, 60)
    (store.folder / "step-000000060" / "state").write_text("??")
    position, refused = store.load(engine)
    assert position == {"done": 50}
    assert engine.state == 50
    assert refused == ["the kept state step-000000060 is damaged and set aside: ValueError while reading"]
