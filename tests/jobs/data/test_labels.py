import re

import pytest

from jobs.data.labels import Item, read_labels


def written(folder, content):
    file = folder / "val.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_each_line_is_a_path_and_a_label(tmp_path):
    items = read_labels(written(tmp_path, "a/1.mp4 0\nb/1.mp4 1\n"), tmp_path / "videos", 2)
    assert items == [
        Item(0, "a/1.mp4", str(tmp_path / "videos/a/1.mp4"), 0),
        Item(1, "b/1.mp4", str(tmp_path / "videos/b/1.mp4"), 1),
    ]


def test_blank_lines_are_skipped_and_do_not_count_as_videos(tmp_path):
    items = read_labels(written(tmp_path, "\n1.mp4 0\n   \n\n2.mp4 1"), tmp_path, 2)
    assert [(item.index, item.path) for item in items] == [(0, "1.mp4"), (1, "2.mp4")]


def test_paths_may_hold_spaces_and_any_letters(tmp_path):
    items = read_labels(written(tmp_path, "playing tuba/día 1 2.mp4 3\n"), tmp_path, 4)
    assert (items[0].path, items[0].label) == ("playing tuba/día 1 2.mp4", 3)


def test_files_from_windows_read_the_same(tmp_path):
    items = read_labels(written(tmp_path, b"\xef\xbb\xbf1.mp4 0\r\n\r\n2.mp4 1\r\n"), tmp_path, 2)
    assert [(item.path, item.label) for item in items] == [("1.mp4", 0), ("2.mp4", 1)]


def test_an_absolute_path_is_not_joined_to_the_root(tmp_path):
    assert read_labels(written(tmp_path, "/data/1.mp4 0"), tmp_path, 1)[0].file == "/data/1.mp4"


def test_a_relative_root_is_taken_from_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_labels(written(tmp_path, "1.mp4 0"), "videos", 1)[0].file == str(tmp_path / "videos/1.mp4")


def test_a_missing_video_is_listed(tmp_path):
    assert len(read_labels(written(tmp_path, "nowhere.mp4 0"), tmp_path, 1)) == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("video.mp4", "'video.mp4' is not a path, a space and a label"),
        ("video.mp4,3", "'video.mp4,3' is not a path, a space and a label"),
        ("my video.mp4", "the label 'video.mp4' is not a whole number"),
        ("video.mp4 1.0", "the label '1.0' is not a whole number"),
        ("video.mp4 1_0", "the label '1_0' is not a whole number"),
        ("video.mp4 -1", "the label -1 is not in 0 … 9"),
        ("video.mp4 10", "the label 10 is not in 0 … 9"),
        ("first.mp4 5", "'first.mp4' is listed on line 1 already"),
    ],
)
def test_an_error_names_the_file_and_the_line(tmp_path, line, problem):
    file = written(tmp_path, f"first.mp4 0\n\n{line}\n")
    with pytest.raises(ValueError, match=f"^{re.escape(f'{file}, line 3: {problem}')}$"):
        read_labels(file, tmp_path, 10)


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_list_without_videos_is_an_error(tmp_path, content):
    file = written(tmp_path, content)
    with pytest.raises(ValueError, match=r"val\.txt lists no videos"):
        read_labels(file, tmp_path, 10)


def test_a_label_file_that_cannot_be_read_is_an_error(tmp_path):
    for path, problem in ((tmp_path / "none.txt", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ValueError, match=f"cannot read the label file {path}: {problem}"):
            read_labels(path, tmp_path, 10)


def test_a_label_file_that_is_no_text_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"val\.txt is not a text file in UTF-8"):
        read_labels(written(tmp_path, b"\xff\xfe\x00"), tmp_path, 10)
