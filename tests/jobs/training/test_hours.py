from pathlib import Path

import pytest

from jobs.data.stream import Epoch
from jobs.training.hours import projected_hours, typical
from results.steps import Step, StepLog, missing_flags, read_steps


def step(number: int, seconds: float = 1.0, segment: int = 1, frames: int = 16) -> Step:
    return Step(number, segment, frames, 2.5, 1e-3, seconds, 0.25)


def test_steps_come_back_as_written_and_the_last_of_a_number_counts(tmp_path: Path) -> None:
    file = tmp_path / "steps.csv"
    for segment, numbers in ((1, (1, 2, 3, 4)), (2, (3, 4, 5))):
        log = StepLog(file)
        for number in numbers:
            log.add(step(number, seconds=number * segment))
        log.close()
    steps, repeated = read_steps(file)
    assert steps == [step(1, 1), step(2, 2), step(3, 6, 2), step(4, 8, 2), step(5, 10, 2)]
    assert repeated == 3 + 4


def test_a_step_cut_short_by_a_kill_neither_counts_nor_spoils_the_next(tmp_path: Path) -> None:
    file = tmp_path / "steps.csv"
    log = StepLog(file)
    log.add(step(1))
    log.add(step(2))
    log.close()
    file.write_text(file.read_text()[:-8])
    log = StepLog(file)
    log.add(step(2))
    log.close()
    assert read_steps(file) == ([step(1), step(2, segment=2)], 0)


def test_the_first_steps_of_each_segment_are_not_typical() -> None:
    steps = [step(n, seconds=100 if n % 10 < 3 else 1 + n / 100, segment=n // 10) for n in range(20)]
    found = typical([*steps, step(30, 50, frames=4)], 16)
    assert found["steps"] == 14
    assert 1 < found["median"] < 1.2
    assert 0 < found["iqr"] < 0.2


def test_two_steps_are_better_than_none() -> None:
    assert typical([step(1, 4.0), step(2, 2.0)], 16) == {"median": 3.0, "iqr": 1.0, "steps": 2}
    assert typical([step(1, 4.0)], 16) == {"median": 4.0, "iqr": 0.0, "steps": 1}


def test_hours_are_projected_by_length_of_clips() -> None:
    steps = [step(n, 2.0, frames=4) for n in range(1, 6)] + [step(n, 9.0) for n in range(6, 12)]
    epochs = [Epoch(0, 4, 100), Epoch(1, 4, 100), Epoch(2, 16, 50)]
    assert projected_hours(epochs, steps) == pytest.approx((200 * 2 + 50 * 9) / 3600)


def test_steps_that_were_lost_are_flagged():
    assert missing_flags([]) == []
    assert missing_flags([step(number) for number in range(1, 6)]) == []
    assert missing_flags([step(number) for number in (1, 2, 6)]) == ["the log lacks 3 of 6 steps"]
