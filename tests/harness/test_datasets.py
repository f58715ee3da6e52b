"""The command that looks at lists of videos and writes them anew."""

from pathlib import Path

import pytest

from harness.datasets import main
from tests.bad_videos import numbered_frames, write_video


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two videos, a text that is none, and a list of these and of one that is missing."""
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a.mp4", numbered_frames(50))
    write_video(tmp_path / "b.mkv", numbered_frames(75))
    (tmp_path / "c.mp4").write_text("no video\n" * 100)
    (tmp_path / "list.csv").write_text("path,label\na.mp4,run\nb.mkv,walk\nc.mp4,run\nd.mp4,walk\n")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    out = capsys.readouterr()
    return out.out.splitlines(), out.err


def test_what_a_list_is_and_which_videos_there_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "list.csv"]) == 1
    lines, _ = said(capsys)
    assert lines[:4] == [
        "list.csv: 4 videos; taken for columns path and label, separated by commas",
        "2 classes occur, numbers 0 to 1, 2 videos each",
        f"in {folder}: 3 are there, 1 are not: d.mp4",
        "looked into 3 of them: 1 MP4 with H.264, 1 Matroska with H.264",
    ]
    assert lines[4] == "1.7 to 2.5 s long, median 2.1 s"
    assert lines[5].startswith("not read: c.mp4: ")
    assert len(lines) == 6


def test_a_list_without_faults_ends_with_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "good.txt").write_text("a.mp4 1\nb.mkv 2\n")
    assert main(["check", "good.txt", "--all"]) == 0
    assert "none is 0: if it counts classes from 1, convert it with --from-1" in said(capsys)[0]
    assert main(["check", "good.txt", "--num-classes", "2"]) == 2
    assert "so it seems to count classes from 1; `python -m harness.datasets convert --from-1`" in said(capsys)[1]


def test_any_list_is_written_as_path_and_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "list.csv", "--to", "plain.txt"]) == 0
    assert (folder / "plain.txt").read_text() == "a.mp4 0\nb.mkv 1\nc.mp4 0\nd.mp4 1\n"
    assert said(capsys)[0] == ["plain.txt: 4 videos of 2 classes"]
    assert main(["convert", "list.csv", "--to", "plain.txt"]) == 2
    assert said(capsys)[1] == "error: plain.txt is there already; give another name\n"
    (folder / "one.txt").write_text("a.mp4 1\nb.mkv 2\n")
    assert main(["convert", "one.txt", "--from-1", "--to", "zero.txt"]) == 0
    assert (folder / "zero.txt").read_text() == "a.mp4 0\nb.mkv 1\n"


def test_hmdb51s_lists_are_joined(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = folder / "splits"
    lists.mkdir()
    (lists / "run_test_split1.txt").write_text("r 1.avi 1 \nr2.avi 2 \nr3.avi 0 \n")
    (lists / "brush_hair_test_split1.txt").write_text("b1.avi 2 \nb2.avi 1 \n")
    (lists / "run_test_split2.txt").write_text("r 1.avi 2 \n")
    assert main(["convert", "splits", "--split", "1", "--to", "test.txt"]) == 0
    assert (folder / "test.txt").read_text() == "brush_hair/b1.avi 0\nrun/r2.avi 1\n"
    assert main(["convert", "splits", "--split", "1", "--train", "--to", "train.txt"]) == 0
    assert (folder / "train.txt").read_text() == "brush_hair/b2.avi 0\nrun/r 1.avi 1\n"
    said(capsys)
    for split, problem in (((), "say which split, as --split 1"), (("--split", "3"), "has no lists of split 3")):
        assert main(["convert", "splits", *split, "--to", "none.txt"]) == 2
        assert problem in said(capsys)[1]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["check", "nowhere.txt"], "error: cannot read the label file nowhere.txt: No such file or directory"),
        (["check", "list.csv", "--classes", "none"], "error: cannot read the classes none: No such file or directory"),
        (["convert", "list.csv", "--from-1", "--to", "x"], "error: list.csv, line 2: the label 'run' is not a whole"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    arguments: list[str], problem: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = said(capsys)[1]
    assert error.startswith(problem)
    assert error.count("\n") == 1
