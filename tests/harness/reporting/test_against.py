"""Two measurements of the same cells: which differences are real, what was different, and the exit code."""

from pathlib import Path
from typing import Any

import pytest

from harness import report
from harness.reporting.against import DIFFERS, EQUAL, NOISE, UNKNOWN, Compared, compare, how_they_differ, lines_of
from jobs.spec.cells import Cell
from results.records import best_by_cell, read_records
from tests.harness.made import answered, make_grid, make_profile, make_table, put_record, small_profile

ACCURACY = Cell("vit_demo", "sta:r=12", "motion", "2x3", "top1")
COST = Cell("vit_demo", "sta:r=12", "", "", "gflops")
TIMING = Cell("vit_demo", "sta:r=12", "", "", "clips_per_s")
START = "1" * 900 + "0" * 100
V100 = {"machine": {"gpu": "V100", "cpu": "x"}}


def put_accuracy(runs: Path, letters: str, **content: Any) -> None:
    counts = {"evaluated": len(letters), "listed": len(letters)}
    value = 100 * letters.count("1") / len(letters)
    put_record(runs, ACCURACY, value, **({"counts": counts, "samples": answered(letters)} | content))


def put_timing(runs: Path, rates: list[float], **content: Any) -> None:
    put_record(runs, TIMING, sorted(rates)[len(rates) // 2], samples={"clips_per_s": rates}, **content)


def compared(tmp_path: Path, *cells: Cell) -> list[Compared]:
    here, there = (best_by_cell(read_records(tmp_path / name)[0]) for name in ("here", "there"))
    return compare(make_table(cells), small_profile(tmp_path), here, there)


@pytest.mark.parametrize(
    ("letters", "verdict", "why"),
    [
        (START, EQUAL, "the same 1,000 answers"),
        ("0" * 3 + START[3:-1] + "1", NOISE, "4 of 1,000 answers differ; 95 % interval -0.79 to +0.29"),
        ("0" * 12 + START[12:-1] + "1", DIFFERS, "13 of 1,000 answers differ; 95 % interval -2.00 to -0.48"),
    ],
)
def test_accuracies_on_other_hardware_are_compared_answer_by_answer(
    tmp_path: Path, letters: str, verdict: str, why: str
) -> None:
    put_accuracy(tmp_path / "here", letters, provenance=V100)
    put_accuracy(tmp_path / "there", START)
    (one,) = compared(tmp_path, ACCURACY)
    assert (one.verdict, one.why) == (verdict, why)


@pytest.mark.parametrize(("value", "verdict"), [(5.1, EQUAL), (5.1001, NOISE), (5.12, DIFFERS)])
def test_means_over_views_differ_by_rounding_on_other_hardware(tmp_path: Path, value: float, verdict: str) -> None:
    cell = Cell("vit_demo", "sta:r=12", "motion", "2x3", "trajectory_sum")
    put_record(tmp_path / "here", cell, value, counts={"evaluated": 64, "listed": 64}, provenance=V100)
    put_record(tmp_path / "there", cell, 5.1, counts={"evaluated": 64, "listed": 64})
    (one,) = compared(tmp_path, cell)
    assert one.verdict == verdict
    put_record(tmp_path / "here", cell, value, counts={"evaluated": 64, "listed": 64}, id="alike", ended="2999")
    (one,) = compared(tmp_path, cell)
    assert one.verdict == (EQUAL if value == 5.1 else DIFFERS)


def test_where_nothing_but_the_code_differs_there_is_no_noise(tmp_path: Path) -> None:
    for name, letters in (("here", "0" + START[1:]), ("there", START)):
        settings = {"method": name, "precision": "fp32", "dataset": {"root": f"/{name}"}}
        provenance = V100 | {"git": {"commit": name}}
        put_accuracy(tmp_path / name, letters, settings=settings, provenance=provenance)
    (one,) = compared(tmp_path, ACCURACY)
    assert (one.verdict, one.why) == (DIFFERS, "1 of 1,000 answers differ, and nothing but the code does")


def test_answers_that_change_sides_alike_are_not_equal(tmp_path: Path) -> None:
    """The accuracies are the same, and the videos that were right are not."""
    put_accuracy(tmp_path / "here", "0" + START[1:-1] + "1", provenance=V100)
    put_accuracy(tmp_path / "there", START)
    (one,) = compared(tmp_path, ACCURACY)
    assert one.verdict == NOISE
    assert one.why.startswith("2 of 1,000 answers differ")


def test_accuracies_without_answers_are_equal_or_unknown(tmp_path: Path) -> None:
    for name, letters in (("here", START), ("there", START)):
        put_accuracy(tmp_path / name, letters, samples={})
    assert [one.verdict for one in compared(tmp_path, ACCURACY)] == [EQUAL]
    put_accuracy(tmp_path / "there", START[::-1].replace("1", "0", 1), samples={}, id="later")
    (one,) = compared(tmp_path, ACCURACY)
    assert (one.verdict, one.why) == (UNKNOWN, "a record does not keep which videos were right")


def test_costs_have_no_noise(tmp_path: Path) -> None:
    put_record(tmp_path / "here", COST, 1.5)
    put_record(tmp_path / "there", COST, 1.5 + 1e-9)
    found = compared(tmp_path, COST)
    assert [one.verdict for one in found] == [DIFFERS]
    assert lines_of(found)[0][3:6] == ["1.5", "1.5", "-1e-09"]


@pytest.mark.parametrize(
    ("rates", "content", "verdict"),
    [
        ([10.0, 10.5, 11.0, 10.2, 10.8], {}, NOISE),
        ([12.0, 12.5, 13.0, 12.2, 12.8], {}, DIFFERS),
        ([12.0, 12.5, 13.0, 12.2, 12.8], {"provenance": V100}, UNKNOWN),
    ],
)
def test_timings_differ_where_the_middle_halves_of_their_samples_do(
    tmp_path: Path, rates: list[float], content: dict[str, Any], verdict: str
) -> None:
    put_timing(tmp_path / "here", rates, **content)
    put_timing(tmp_path / "there", [10.1, 10.4, 10.9, 10.3, 10.7])
    (one,) = compared(tmp_path, TIMING)
    assert one.verdict == verdict
    assert "times" in one.why


def test_what_is_on_one_side_only_is_said(tmp_path: Path) -> None:
    put_record(tmp_path / "here", COST, 1.5)
    put_timing(tmp_path / "there", [1.0, 2.0])
    assert [(one.verdict, one.why) for one in compared(tmp_path, COST, TIMING, ACCURACY)] == [
        (UNKNOWN, "measured here only"),
        (UNKNOWN, "measured there only"),
    ]


def test_what_was_different_is_said_once(tmp_path: Path) -> None:
    for name, precision, commit in (("here", "fp16", "a"), ("there", "fp32", "b")):
        how = {"settings": {"precision": precision, "checkpoint": {"path": name, "sha256": "same"}}}
        how |= {"provenance": {"git": {"commit": commit}, "machine": {"host": name, "gpu": "V100"}}}
        put_accuracy(tmp_path / name, START, **how)
        put_record(tmp_path / name, COST, 1.5, **how)
    assert how_they_differ(compared(tmp_path, ACCURACY, COST)) == [
        "git.commit: a here, b there (row 0, value; row 1, value)",
        "settings.precision: fp16 here, fp32 there (row 0, value; row 1, value)",
    ]


def test_the_command_and_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile, grid = make_profile(tmp_path), make_grid(tmp_path / "grid.toml", ["none"], ["vit_demo"])
    cell = Cell("vit_demo", "none", "", "", "gflops")
    for name in ("here", "there"):
        put_record(tmp_path / name, cell, 0.5)
    common = [str(grid), "--profile", str(profile), "--runs", str(tmp_path / "here"), "--against"]
    assert report.main([*common, str(tmp_path / "there")]) == 0
    out = capsys.readouterr().out
    assert "| none  | vit_demo | gflops   | 0.5    | 0.5     | +0.0         | equal     |" in out
    assert "- 1 equal\n" in out
    put_record(tmp_path / "there", cell, 0.6, id="later", ended="2999-01-01T00:00:00+00:00")
    assert report.main([*common, str(tmp_path / "there")]) == 1
    assert "differs: it is counted, without noise" in capsys.readouterr().out
    assert report.main([*common, str(tmp_path / "nowhere")]) == 2
    assert "neither a runs folder nor a file of `python -m harness.export`" in capsys.readouterr().err
