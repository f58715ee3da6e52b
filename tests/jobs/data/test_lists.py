"""Lists as people have them: what each is taken for, and what is wrong with those that are none."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.data.classes import read_classes
from jobs.data.labels import class_names, read_labels
from jobs.data.lists import count, parse

PLAIN = [("a/1.mp4", 0), ("b 2.mp4", 2), ("c.mp4", 1)]
NAMED = [("1.webm", 2), ("2.webm", 0), ("3.webm", 1)]
SOMETHING = {"Holding something": "0", "Pushing something": "1", "Approaching something with your camera": "2"}
ENTRIES = [
    {"id": "1", "label": "approaching a pen with your camera", "template": "Approaching [something] with your camera"},
    {"id": "2", "label": "holding a cup", "template": "Holding [something]", "placeholders": ["a cup"]},
    {"id": "3", "template": "Pushing [something]"},
]
KINETICS = (
    "label,youtube_id,time_start,time_end,split\n"
    "riding a bike,---QUuC4vJs,84,94,val\n"
    "archery,0wR5jVB-WPk,417,427,val\n"
    '"dancing, tap",--3ouPhoy2A,20,30,val\n'
)
CLIPS = [
    ("---QUuC4vJs_000084_000094.mp4", 2),
    ("0wR5jVB-WPk_000417_000427.mp4", 0),
    ("--3ouPhoy2A_000020_000030.mp4", 1),
]
UCF = "1 Archery\n2 BandMarching\n3 Biking\n"
UCF_VIDEOS = [("Biking/v_Biking_g01_c01.avi", 2), ("Archery/v_Archery_g01_c02.avi", 0)]

# name: (the list, the file of classes, what it is taken for, its videos)
LISTS = {
    "spaces": ("a/1.mp4 0\nb 2.mp4 2\nc.mp4 1\n", "", "path and label, separated by spaces", PLAIN),
    "quotes and spaces": ('"a/1.mp4" 0\n"b 2.mp4" 2\nc.mp4 1\n', "", "path and label, separated by spaces", PLAIN),
    "commas": ("a/1.mp4,0\nb 2.mp4, 2\nc.mp4,1", "", "path and label, separated by commas", PLAIN),
    "commas in paths": (
        'a,1.mp4,0\n"b,2.mp4",1\n',
        "",
        "path and label, separated by commas",
        [("a,1.mp4", 0), ("b,2.mp4", 1)],
    ),
    "tabs": ("a/1.mp4\t0\nb 2.mp4\t2\nc.mp4\t1\n", "", "path and label, separated by tabs", PLAIN),
    "Windows": ("\ufeffa/1.mp4,0\r\n\r\nb 2.mp4,2\r\nc.mp4,1\r\n", "", "path and label, separated by commas", PLAIN),
    "header": ("path,label\na/1.mp4,0\nb 2.mp4,2\nc.mp4,1\n", "", "columns path and label, separated by commas", PLAIN),
    "header of spaces": (
        "video label\na.mp4 1\nb.mp4 0\n",
        "",
        "columns video and label, separated by spaces",
        [("a.mp4", 1), ("b.mp4", 0)],
    ),
    "columns": (
        "label,fps,video_path\n0,25,a/1.mp4\n2,30,b 2.mp4\n1,25,c.mp4\n",
        "",
        "columns video_path and label, separated by commas",
        PLAIN,
    ),
    "names, all there": ("1.webm,walk\n2.webm,jump\n3.webm,run\n", "", "path and label, separated by commas", NAMED),
    "names in a given order": (
        "1.webm\tsit down\n2.webm\tRun\n",
        "Run\nwalk\nsit_down\n",
        "path and label, separated by tabs",
        [("1.webm", 2), ("2.webm", 0)],
    ),
    "Kinetics": (KINETICS, "", "Kinetics' official list", CLIPS),
    "Something": (json.dumps(ENTRIES), json.dumps(SOMETHING), "Something-Something V2's official list", NAMED),
    "UCF101, training": (
        "Biking/v_Biking_g01_c01.avi 3\nArchery/v_Archery_g01_c02.avi 1\n",
        UCF,
        "path and label, separated by spaces",
        UCF_VIDEOS,
    ),
    "UCF101, test": (
        "Biking/v_Biking_g01_c01.avi\nArchery/v_Archery_g01_c02.avi\n",
        UCF,
        "paths in folders of their class",
        UCF_VIDEOS,
    ),
}

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, content: str) -> str:
        (tmp_path / name).write_bytes(content.encode())
        return str(tmp_path / name) if content else ""

    return written


@pytest.mark.parametrize("name", LISTS)
def test_each_kind_of_list_is_taken_for_what_it_is(name: str, write: Write) -> None:
    text, classes, taken_for, expected = LISTS[name]
    items = read_labels(write("list", text), "/videos", 3, write("classes", classes))
    assert [(item.path, item.label) for item in items] == expected
    assert [item.file for item in items] == [f"/videos/{path}" for path, _ in expected]
    assert parse(text.removeprefix("\ufeff"), "list").taken_for == taken_for
    assert count(text.removeprefix("\ufeff")) == len(expected)


def test_names_of_classes_are_known_where_some_file_says_them(write: Write) -> None:
    numbers, names = write("a.txt", "a.mp4 0\n"), write("b.txt", "a.mp4,walk\nb.mp4,run\n")
    assert class_names(numbers) == ()
    assert class_names(numbers, write("classes", "x\ny\n")) == ("x", "y")
    assert class_names(names) == ("run", "walk")


@pytest.mark.parametrize("folder", ["", "{name}/", "{name_}/"])
def test_kinetics_videos_lie_in_the_root_or_in_folders_of_their_classes(
    folder: str, write: Write, tmp_path: Path
) -> None:
    names = {2: "riding a bike", 0: "archery", 1: "dancing, tap"}
    for path, label in CLIPS:
        file = tmp_path / folder.format(name=names[label], name_=names[label].replace(" ", "_")) / path
        file.parent.mkdir(exist_ok=True)
        file.touch()
    items = read_labels(write("val.csv", KINETICS), tmp_path, 3)
    assert all(Path(item.file).exists() for item in items)
    assert [item.label for item in items] == [2, 0, 1]


WRONG = {
    "counts from 1": (
        "a.mp4 1\nb.mp4 3\n",
        "",
        "{list}: labels run from 1 to 3, and none is 0, so it seems to count classes from 1; `python -m "
        "harness.datasets convert --from-1` subtracts 1 from each",
    ),
    "raw frames": (
        "a 120 0\nb 99 2\n",
        "",
        "{list}, line 2: three columns, as lists of raw frames have (path, frames, label); videos are needed",
    ),
    "raw frames with a header": (
        "path,num_frames,label\na,120,0\n",
        "",
        "{list}, line 1: the column 'num_frames' is of lists of raw frames; videos are needed",
    ),
    "names, some missing": (
        "a.mp4,run\nb.mp4,walk\n",
        "",
        "{list} names 2 classes, and num_classes is 3; list all of "
        "them in their order in a file, and set datasets.NAME.classes to it",
    ),
    "a name that is none": (
        "a.mp4,run\nb.mp4,wlak\n",
        "run\nwalk\nsit\n",
        "{list}, line 2: 'wlak' is no class in {classes}; did you mean 'walk'?",
    ),
    "numbers and names": ("a.mp4,0\nb.mp4,walk\n", "", "{list}, line 2: the label 'walk' is not a whole number"),
    "no labels": (
        "a/1.mp4\nb/2.mp4\n",
        "",
        "{list}, line 1: 'a/1.mp4' does not say its class; a list without labels "
        "needs datasets.NAME.classes, and a folder for each class",
    ),
    "another folder": (
        "Biking/1.avi 3\nArchery/2.avi 2\n",
        UCF,
        "{list}, line 2: the label 2 is not that of its folder, 'Archery', which is 1",
    ),
    "columns missing": ("path,label\na.mp4,0\nb.mp4\n", "", "{list}, line 3: 1 columns, where the header has 2"),
    "too few classes": ("a.mp4 0\n", "run\nwalk\n", "{classes} lists 2 classes, and num_classes is 3"),
    "times that are none": (
        "label,youtube_id,time_start,time_end\nrun,abc,x,10\n",
        "",
        "{list}, line 2: time_start and time_end must be seconds, not 'x' and '10'",
    ),
    "no JSON": ('[{"id": 1', "", "{list} is not valid JSON: Expecting ',' delimiter: line 1 column 10 (char 9)"),
    "JSON of another kind": (
        '[{"name": 1}]',
        "",
        "{list}, entry 1: an id is needed, as in Something-Something V2's lists",
    ),
    "a header alone": ("path,label\n", "", "{list} lists no videos"),
    "twice": ("a.mp4,0\nb.mp4,1\na.mp4,1\n", "", "{list}, line 3: 'a.mp4' is listed on line 1 already"),
    "a class beyond": ("a.mp4,0\nb.mp4,3\n", "", "{list}, line 2: the label 3 is not in 0 … 2"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_list_is_told_in_a_line(name: str, write: Write) -> None:
    text, classes, problem = WRONG[name]
    files = {"list": write("list", text), "classes": write("classes", classes)}
    with pytest.raises(ValueError, match=f"^{re.escape(problem.format(**files))}$"):
        read_labels(files["list"], "/videos", 3, files["classes"])


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("run\n\nsit down\n", ("run", "sit down")),
        ("2 walk\n1 run\n", ("run", "walk")),
        ('0,"sit, down"\n1,run\n', ("sit, down", "run")),
        ('["run", "walk"]', ("run", "walk")),
        ('{"walk": "1", "run": 0}', ("run", "walk")),
    ],
)
def test_classes_are_listed_in_several_ways(content: str, names: tuple[str, ...], write: Write) -> None:
    assert read_classes(write("classes", content)) == names


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (" \n", "{} lists no classes"),
        ("run\nRUN\n", "{} lists the class 'RUN' twice"),
        ("1 run\n3 walk\n", "{}: the numbers of classes must be 0, 1, 2, … or 1, 2, 3, …, each once"),
        ('{"run": "x"}', "{}: JSON with a list of names, or with a number for each name, is needed"),
        ('["run"', "{} is not valid JSON: Expecting ',' delimiter: line 1 column 7 (char 6)"),
    ],
)
def test_wrong_classes_are_told_in_a_line(content: str, problem: str, write: Write) -> None:
    file = write("classes", content)
    with pytest.raises(ValueError, match=f"^{re.escape(problem.format(file))}$"):
        read_classes(file)


def test_classes_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read the classes .*none: No such file or directory"):
        read_classes(tmp_path / "none")
