"""Records in one file: exported, imported with a mark, never over others, never damaged."""

import importlib
import json
from pathlib import Path

import pytest

from harness import export, report
from jobs.spec.cells import Cell
from results.records import read_records
from tests.harness.made import make_grid, make_profile, put_record

importing = importlib.import_module("harness.import")
CELL = Cell("vit_demo", "none", "", "", "gflops")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A table of one value, and a record that is none of it."""
    make_grid(tmp_path / "grid.toml", ["none"], ["vit_demo"])
    make_profile(tmp_path).rename(tmp_path / "profile.toml")
    put_record(tmp_path / "runs", CELL, 0.5, id="one")
    put_record(tmp_path / "runs", Cell("vit_base", "none", "", "", "gflops"), 180.5, id="other")
    return tmp_path


def exported(place: Path, capsys: pytest.CaptureFixture[str], name: str = "file.json") -> Path:
    common = [str(place / "grid.toml"), "--profile", str(place / "profile.toml"), "--runs", str(place / "runs")]
    assert export.main([*common, "--to", str(place / name)]) == 0
    assert capsys.readouterr().out == f"{place / name}: 1 record of grid\n"
    return place / name


def test_a_table_is_handed_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, theirs = exported(place, capsys), place / "theirs"
    assert importing.main([str(file), "--runs", str(theirs)]) == 0
    assert capsys.readouterr().out == f"{theirs}: 1 record added, 0 there already\n"
    (record,) = read_records(theirs)[0]
    assert (record.id, record.value) == ("one", 0.5)
    assert record.provenance["imported"]["file"] == "file.json"
    common = [str(place / "grid.toml"), "--profile", str(place / "profile.toml"), "--runs", str(theirs)]
    assert report.main(common) == 0
    assert "imported from file.json" in capsys.readouterr().out
    assert report.main([*common, "--against", str(file)]) == 0
    assert importing.main([str(file), "--runs", str(theirs)]) == 0
    assert "0 records added, 1 there already" in capsys.readouterr().out


def test_nothing_is_overwritten(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, theirs = exported(place, capsys), place / "theirs"
    put_record(theirs, CELL, 0.7, id="one")
    assert importing.main([str(file), "--runs", str(theirs)]) == 2
    assert "has other records of the same ids: one; nothing was imported" in capsys.readouterr().err
    assert read_records(theirs)[0][0].value == 0.7
    common = [str(place / "grid.toml"), "--profile", str(place / "profile.toml"), "--runs", str(place / "runs")]
    assert export.main([*common, "--to", str(file)]) == 2
    assert "is there already; give another name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text[:-20], "is damaged: it is not whole JSON"),
        (lambda text: text.replace("0.5", "0.6"), "its records do not have the digest that it states"),
        (lambda text: "[]", "is no file of `python -m harness.export`"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "is of version 2, and this harness reads 1"),
    ],
)
def test_damaged_files_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str], change: object, problem: str
) -> None:
    file = exported(place, capsys)
    text = json.dumps(json.loads(file.read_text()))
    file.write_text(change(text))  # type: ignore[operator]
    assert importing.main([str(file), "--runs", str(place / "theirs")]) == 2
    assert problem in capsys.readouterr().err
    assert not (place / "theirs").exists()
