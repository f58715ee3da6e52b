"""Files are whole or absent, private, and reading one never hangs or surprises."""

import json
import os
import stat

import pytest

from results import files


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_and_files_belong_to_their_owner_alone(tmp_path):
    files.write_json(tmp_path / "runs" / "jobs" / "a" / "job.json", {"id": "a"})
    assert [mode(tmp_path / name) for name in ("runs", "runs/jobs", "runs/jobs/a")] == [0o700] * 3
    assert mode(tmp_path / "runs/jobs/a/job.json") == 0o600


def test_a_folder_that_exists_keeps_its_mode(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o750)
    files.write_json(shared / "x.json", {})
    assert mode(shared) == 0o750


@pytest.mark.parametrize("write", [files.write_json, files.write_json_once])
def test_what_cannot_be_json_leaves_nothing_behind(tmp_path, write):
    with pytest.raises(ValueError, match="JSON compliant"):
        write(tmp_path / "x.json", {"value": float("nan")})
    with pytest.raises(TypeError):
        write(tmp_path / "x.json", {"value": object()})
    assert os.listdir(tmp_path) == []


def test_write_replaces_and_write_once_does_not(tmp_path):
    path = tmp_path / "x.json"
    assert files.write_json_once(path, {"n": 1})
    assert not files.write_json_once(path, {"n": 2})
    assert files.read_json(path) == {"n": 1}
    files.write_json(path, {"n": 3})
    assert files.read_json(path) == {"n": 3}
    assert os.listdir(tmp_path) == ["x.json"]


def test_write_once_where_the_file_system_has_no_links(tmp_path, monkeypatch):
    def link(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    path = tmp_path / "x.json"
    assert files.write_json_once(path, {"n": 1})
    assert not files.write_json_once(path, {"n": 2})
    assert files.read_json(path) == {"n": 1}
    assert os.listdir(tmp_path) == ["x.json"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b'{"id": "a", "val', "not whole JSON"),
        (b"\xff\xfe\x00", "not whole JSON"),
        (b"[" * 200_000, "not whole JSON"),
        (b'{"n": ' + b"9" * 10_000 + b"}", "not whole JSON"),
        (b'{"text": "\\uD800"}', "not whole JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b'{"value": NaN}', "not JSON: a number in it is not finite"),
        (b'{"samples": [1.5, -Infinity]}', "a number in it is not finite"),
        (b'{"value": 1e999}', "a number in it is not finite"),
        (b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.", "not whole JSON"),
    ],
)
def test_damaged_and_hostile_content_gives_a_reason(tmp_path, content, reason):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        files.read_json(path)


def test_text_beyond_ascii_survives(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, {"video": "größe 視頻 🎬 a\\ud.mp4"})
    assert files.read_json(path) == {"video": "größe 視頻 🎬 a\\ud.mp4"}
    assert json.loads(path.read_text()) == files.read_json(path)


def test_pipes_folders_and_dangling_links_give_a_reason(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "zeros.json").symlink_to("/dev/zero")
    for name in ("pipe.json", "folder.json", "zeros.json"):
        with pytest.raises(ValueError, match="not a regular file"):
            files.read_json(tmp_path / name)
    (tmp_path / "dangling.json").symlink_to(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "dangling.json")


def test_reading_stops_at_the_size_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"text": "a" * 1000}))
    with pytest.raises(ValueError, match="larger than"):
        files.read_json(path)
