"""Values stand for the content of what they were measured with: label lists, weights and videos that are corrected,
trained again, touched, copied or moved between two sweeps."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import sweep
from tests.jobs.small_set import CLASSES, make_profile, make_set, make_weights

TABLE = """
model = "vit_demo"
dataset = "set"
views = "1x1"
[rows]
reduction = ["none"]
[columns]
metric = ["top1"]
"""
VIDEOS = 8


class Place:
    """A folder with videos, weights and a profile, and the commands run on it, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, folder / "runs"
        self.labels = make_set(folder / "data", videos=VIDEOS, frames=40, size=(64, 56))
        self.weights = make_weights(folder / "demo.safetensors")
        self.profile = make_profile(folder / "profile.toml", self.labels, self.weights, tasks=1, tolerance=0.5)
        self.table = folder / "small.toml"
        self.table.write_text(TABLE)

    def command(self, name: str, *options: str) -> str:
        common = [str(self.table), "--profile", str(self.profile), "--runs", str(self.runs)]
        command = [sys.executable, "-m", f"harness.{name}", *common, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def cell(self, *options: str) -> dict[str, Any]:
        (cell,) = json.loads(self.command("report", "--json", *options))
        return dict(cell)

    def planned(self, *options: str) -> str:
        return self.command("sweep", "--dry-run", *options).splitlines()[0]

    def label(self, wrong: int, without: int | None = None) -> None:
        """List all videos but one with the classes that the model predicts, but for the first few."""
        (predictions,) = self.runs.glob("jobs/*/videos.csv")
        with predictions.open(newline="") as file:
            rows = list(csv.DictReader(file))
        lines = []
        for number, row in enumerate(rows):
            label = (int(row["none 1x1"]) + (number < wrong)) % CLASSES
            lines += [f"{row['video']} {label}\n"] if number != without else []
        self.labels.write_text("".join(lines))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("inputs"))
    place.command("sweep")
    place.label(wrong=3)
    shutil.rmtree(place.runs)
    place.command("sweep")
    return place


def test_a_corrected_label_list_is_other_videos(place: Place) -> None:
    assert (place.cell()["value"], place.cell()["note"]) == (62.5, "")
    before = place.labels.read_text()
    place.label(wrong=0, without=5)
    stale = place.cell()
    assert stale["value"] == 62.5, "there is no other value yet"
    assert "measured with inputs that have changed since: label list of set (sha256 " in stale["note"]
    assert "1 cell, 0 done already" in place.planned()
    place.command("sweep")
    assert (place.cell()["value"], place.cell()["note"]) == (100.0, "")
    assert "over 7 videos" in place.command("report")
    place.labels.write_text(before)
    assert (place.cell()["value"], place.cell()["note"]) == (62.5, "")


def test_weights_trained_again_under_the_same_name_with_a_video_less(place: Place) -> None:
    video, kept = place.labels.parent / "clip 4.mp4", place.folder / "kept"
    shutil.copy2(place.weights, kept)
    content, look = video.read_bytes(), place.weights.stat()
    try:
        make_weights(place.weights, seed=1)
        os.utime(place.weights, ns=(look.st_atime_ns, look.st_mtime_ns))
        assert place.weights.stat().st_size == look.st_size, "size and time tell nothing"
        assert "weights of vit_demo on set (sha256 " in place.cell()["note"]
        video.write_bytes(content[:500])
        place.command("sweep")
        found = place.cell()
        assert found["status"] == "partial"
        assert found["note"] == "7 of 8 videos", "over fewer videos than the old weights, and still theirs"
        assert found["value"] != 62.5
    finally:
        video.write_bytes(content)
        shutil.copy2(kept, place.weights)


def test_what_is_touched_copied_or_moved_is_the_same(place: Place) -> None:
    os.utime(place.weights)
    assert "1 cell, 1 done already" in place.planned()
    os.replace(shutil.copy(place.weights, place.folder / "copy"), place.weights)
    assert "1 cell, 1 done already" in place.planned()
    moved = place.folder / "moved"
    shutil.copytree(place.labels.parent, moved)
    elsewhere = ("--set", f"datasets.set.root={moved}", "--set", f"datasets.set.labels={moved / 'val.txt'}")
    assert "1 cell, 1 done already" in place.planned(*elsewhere)
    assert place.cell(*elsewhere)["value"] == 62.5
    text = place.command("report", *elsewhere)
    assert f"1 cell read the videos of set in {place.labels.parent}, which this profile has in {moved}" in text


def test_a_job_whose_weights_are_touched_meanwhile_goes_on(place: Place, tmp_path: Path) -> None:
    from jobs.spec.sources import Checkpoint
    from jobs.work.evaluate import check_unchanged
    from tests.jobs.small_set import make_dataset

    checkpoint, dataset = Checkpoint.of(place.weights, tmp_path), make_dataset(place.labels)
    os.utime(place.weights)
    check_unchanged(tmp_path, dataset, checkpoint)
    make_weights(copy := tmp_path / "other.safetensors", seed=1)
    with pytest.raises(ValueError, match="has changed since this job was planned"):
        check_unchanged(tmp_path, dataset, Checkpoint(str(copy), checkpoint.sha256))


def test_records_of_earlier_versions_still_count(place: Place) -> None:
    (file,) = [one for one in (place.runs / "records").iterdir() if '"value": 62.5' in one.read_text()]
    record = json.loads(file.read_text())
    content = file.read_text()
    try:
        digest = record["settings"]["checkpoint"].pop("sha256")
        record["settings"]["checkpoint"] |= {"size": 1, "modified_ns": 2}
        record["provenance"]["checkpoint_sha256"] = digest
        record["settings"]["dataset"].pop("labels")
        record["id"] = "0123456789abcdef"
        file.unlink()
        (old := file.with_name("0123456789abcdef.json")).write_text(json.dumps(record))
        assert "1 cell, 1 done already" in place.planned()
        assert (place.cell()["value"], place.cell()["note"]) == (62.5, "")
    finally:
        old.unlink()
        file.write_text(content)


def test_what_is_wrong_with_files_is_said_before_anything_starts(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, labels = tmp_path / "weights.pth", tmp_path / "val.txt"
    page.write_text("<!DOCTYPE html><html><body>404</body></html>")
    labels.write_text("clip 0.mp4 16\n")
    common = [str(place.table), "--profile", str(place.profile), "--runs", str(tmp_path / "runs"), "--set"]
    for setting, said in (
        (f'checkpoints."vit_demo/set"={page}', f"error: {page} is a web page, not a checkpoint"),
        (f"datasets.set.labels={labels}", f"error: {labels}, line 1: the label 16 is not in 0 … 15"),
    ):
        assert sweep.main([*common, setting]) == 2
        assert said in capsys.readouterr().err
    assert not list((tmp_path / "runs").glob("*/*"))
