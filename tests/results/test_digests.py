"""Digests are of content: a look at a file's size and times saves reading it again, and is never believed alone."""

import hashlib
import os
from pathlib import Path

import pytest

from results import digests
from results.digests import content_sha256


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runs folder; small files count as large, all have settled, and nothing is remembered."""
    monkeypatch.setattr(digests, "LARGE", 1)
    monkeypatch.setattr(digests, "SETTLED_S", -1.0)
    monkeypatch.setattr(digests, "_known", {})
    (folder := tmp_path / "runs").mkdir()
    return folder


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def forget() -> None:
    """As another process begins."""
    digests._known.clear()


def forge(runs: Path, sha: str) -> None:
    """Put another digest into what is kept: it shows whether that is believed."""
    (kept,) = (runs / "digests").iterdir()
    kept.write_text(kept.read_text().replace(kept.read_text().split('"sha256": "')[1][:64], sha))
    forget()


def test_a_file_that_looks_as_before_is_not_read_again(tmp_path: Path, runs: Path) -> None:
    (file := tmp_path / "weights.pth").write_bytes(b"one")
    assert content_sha256([file], runs) == sha256(b"one")
    forge(runs, "f" * 64)
    assert content_sha256([file], runs) == "f" * 64


@pytest.mark.parametrize("change", ["content", "same size", "touched", "replaced", "mode"])
def test_a_file_that_looks_otherwise_is_read_again(tmp_path: Path, runs: Path, change: str) -> None:
    (file := tmp_path / "weights.pth").write_bytes(b"one")
    content_sha256([file], runs)
    forge(runs, "f" * 64)
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    if change == "content":
        file.write_bytes(b"another")
    elif change == "same size":
        file.write_bytes(b"two")
        os.utime(file, ns=times)
    elif change == "touched":
        os.utime(file)
    elif change == "replaced":
        (tmp_path / "new").write_bytes(b"one")
        os.replace(tmp_path / "new", file)
        os.utime(file, ns=times)
    else:
        file.chmod(0o600)
    assert content_sha256([file], runs) == sha256(file.read_bytes())


def test_a_copy_under_another_name_has_the_same_digest(tmp_path: Path, runs: Path) -> None:
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"one")
    (tmp_path / "link.pth").symlink_to(tmp_path / "a.pth")
    assert {content_sha256([tmp_path / name], runs) for name in ("a.pth", "b.pth", "link.pth")} == {sha256(b"one")}


def test_of_several_files_names_and_contents_count(tmp_path: Path, runs: Path) -> None:
    (folder := tmp_path / "weights").mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text(name)
    files = sorted(folder.iterdir())
    before = content_sha256(files, runs)
    files[0].write_text("other")
    assert content_sha256(files, runs) != before
    assert content_sha256(files[1:], runs) == sha256(b"model.safetensors")


@pytest.mark.parametrize("kept", ["", "{", '{"sha256": "f"}', '{"look": [1, 2, 3, 4], "sha256": "f"}', "[]"])
def test_what_is_kept_may_be_damaged(tmp_path: Path, runs: Path, kept: str) -> None:
    (file := tmp_path / "weights.pth").write_bytes(b"one")
    content_sha256([file], runs)
    (place,) = (runs / "digests").iterdir()
    place.write_text(kept)
    forget()
    assert content_sha256([file], runs) == sha256(b"one")


def test_a_file_that_has_just_changed_may_change_again(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks of file systems are coarse: two writes may have one time."""
    monkeypatch.setattr(digests, "SETTLED_S", 60.0)
    (file := tmp_path / "weights.pth").write_bytes(b"one")
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    assert content_sha256([file], runs) == sha256(b"one")
    file.write_bytes(b"two")
    os.utime(file, ns=times)
    assert content_sha256([file], runs) == sha256(b"two")
    assert not (runs / "digests").exists()


def test_nothing_is_kept_where_there_is_no_runs_folder(tmp_path: Path, runs: Path) -> None:
    (file := tmp_path / "weights.pth").write_bytes(b"one")
    assert content_sha256([file], tmp_path / "nowhere") == content_sha256([file]) == sha256(b"one")
    assert not (tmp_path / "nowhere").exists()


def test_what_is_no_file_is_an_error(tmp_path: Path, runs: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "missing", tmp_path):
        with pytest.raises(OSError, match=r"not a file|No such file"):
            content_sha256([path], runs)
