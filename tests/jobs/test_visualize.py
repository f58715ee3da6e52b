"""Figures of a few small videos: what is white is what the model dropped, and it was asked once."""

import base64
import hashlib
import io
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jobs.cells import Cell
from jobs.figures.drawing import GAP, HEADER, LABELS
from jobs.spec import Checkpoint, Dataset, Visualize
from jobs.wire import to_dict
from models.reduction.random import RandomDropping
from models.reduction.sta import STA
from results.files import read_json, write_json
from results.progress import job_folder, read_job
from results.records import Record, read_records
from tests.jobs.small_set import CLASSES, make_dataset, make_set, make_weights
from tests.jobs.submitted import run_here

SIDE = 287
"""Of a frame: 7 patches of 41 pixels."""
CELLS = tuple(Cell("vit_demo", reduction, "set", "", "tokens_kept") for reduction in ("sta:r=12", "random:r=16"))


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("set"), videos=3)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights") / "demo.safetensors")


def make_figure(dataset: Dataset, weights: Path, video: str = "", videos: int = 2, cells=CELLS) -> Visualize:
    digest = hashlib.sha256(Path(video).read_bytes()).hexdigest() if video else ""
    checkpoint = Checkpoint.of(weights)
    return Visualize(cells, "vit_demo", checkpoint, dataset, video, digest, videos, "fp32", 30.0, 1)


def draw(job: Visualize, runs: Path) -> list[Record]:
    content = {"id": job.id, "tasks": 1, "profile": "test", "spec": to_dict(job)}
    write_json(job_folder(runs, job.id) / "job.json", content)
    with suppress(RuntimeError):
        run_here(runs, (job.id, 0))
    return sorted(read_records(runs)[0], key=lambda record: record.cell["reduction"], reverse=True)


@pytest.fixture(scope="module")
def drawn(labels: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory):
    """Two videos under two reductions: the runs folder, its records, and every choice that a model was asked for."""
    asked: list[tuple[str, int, torch.Tensor]] = []
    with pytest.MonkeyPatch.context() as patch:
        for method in (STA, RandomDropping):
            choose = method.choose

            def spy(self, tokens, keys, stage, choose=choose):
                choice = choose(self, tokens, keys, stage)
                asked.append((self.name, stage, choice.kept))
                return choice

            patch.setattr(method, "choose", spy)
        runs = tmp_path_factory.mktemp("runs")
        records = draw(make_figure(make_dataset(labels), weights), runs)
    return runs, records, asked


def kept_patches(choices: list[torch.Tensor]) -> list[set[int]]:
    """For each stage of one clip the places that are left, slot · 49 + patch, followed token by token."""
    slots, stages = [[slot * 49 + patch for patch in range(49)] for slot in range(8)], []
    for kept in choices:
        left = [[slots[t][n] for n in kept[0, t].tolist()] for t in range(len(slots))]
        stages.append({place for slot in left for place in slot})
        slots = [left[t] + left[t + 1] for t in range(0, len(left), 2)]
    return stages


def figures_with_choices(drawn) -> list[tuple[Path, str, list[set[int]]]]:
    """Each figure's folder, its reduction, and the patches that its stages kept by the choices made meanwhile."""
    runs, records, asked = drawn
    found = []
    for record in records:
        method = record.cell["reduction"].partition(":")[0]
        choices = [kept for name, _, kept in asked if name == method]
        for number, figure in enumerate(record.samples["figures"]):
            stages = kept_patches(choices[3 * number : 3 * number + 3])
            found.append((runs / figure["folder"], record.cell["reduction"], stages))
    return found


def test_each_stage_was_asked_once_a_video_and_reduction(drawn):
    stages = [(name, stage) for name, stage, _ in drawn[2]]
    assert sorted(stages) == sorted(2 * [(name, stage) for name in ("sta", "random") for stage in (1, 2, 3)])


def test_white_patches_are_exactly_those_of_dropped_tokens(drawn):
    for folder, _, stages in figures_with_choices(drawn):
        picture = np.asarray(Image.open(folder / "tokens.png").convert("RGB"))
        assert picture.shape[:2] == (HEADER + 4 * (SIDE + GAP), LABELS + 8 * (SIDE + GAP))
        tiles = [
            [
                picture[HEADER + r * (SIDE + GAP) :, LABELS + slot * (SIDE + GAP) :][:SIDE, :SIDE].astype(int)
                for slot in range(8)
            ]
            for r in range(4)
        ]
        for r, kept in enumerate(stages, 1):
            for place in range(392):
                slot, (row, column) = place // 49, divmod(place % 49, 7)
                patch = np.s_[41 * row : 41 * row + 41, 41 * column : 41 * column + 41]
                shown, frame = tiles[r][slot][patch], tiles[0][slot][patch]
                assert (shown == (frame if place in kept else 255)).all(), (folder.name, r, place)


def test_what_the_page_shows_is_the_same(drawn):
    for folder, reduction, stages in figures_with_choices(drawn):
        page = read_json(folder / "page.json")
        assert (page["rows"], page["columns"], page["reduction"]) == (7, 7, reduction)
        assert [one["block"] for one in page["stages"]] == [1, 5, 9]
        assert len(page["slots"]) == 8
        for one in page["slots"]:
            assert Image.open(io.BytesIO(base64.b64decode(one["jpeg"]))).size == (224, 224)
        before = set(range(392))
        for stage, kept in zip(page["stages"], stages, strict=True):
            assert {s * 49 + p for s, slot in enumerate(stage["kept"]) for p in range(49) if slot[p] == "1"} == kept
            maps = stage["maps"]
            assert set(maps) == ({"importance", "score"} if reduction.startswith("sta") else set())
            for name, values in maps.items():
                valued = {s * 49 + p for s, slot in enumerate(values) for p in range(49) if slot[p] is not None}
                assert valued == before if name == "importance" else valued < before
            before = kept


def test_the_places_are_kept_as_they_were(drawn):
    for folder, reduction, stages in figures_with_choices(drawn):
        with np.load(folder / "kept.npz") as places:
            assert [set(places[f"stage{n}_kept"].tolist()) for n in (1, 2, 3)] == stages
            assert ("stage2_score" in places) == reduction.startswith("sta")
            assert len(places["frames"]) == 16


def test_the_clip_plays_with_the_same_patches_white(drawn):
    for folder, _, stages in figures_with_choices(drawn):
        clip = Image.open(folder / "clip.gif")
        assert (clip.n_frames, clip.info["loop"], clip.info["duration"]) == (16, 0, 200)
        assert clip.size == (4 * 224 + 3 * 4, 22 + 224)
        for frame in (0, 9, 15):
            clip.seek(frame)
            picture = np.asarray(clip.convert("RGB")).astype(int)
            for number, kept in enumerate(stages, 1):
                panel = picture[22:, number * 228 :][:, :224].reshape(7, 32, 7, 32, 3).transpose(0, 2, 1, 3, 4)
                white = panel.reshape(49, -1).min(axis=1) > 250
                assert {patch for patch in range(49) if white[patch]} == {
                    patch for patch in range(49) if frame // 2 * 49 + patch not in kept
                }


def test_pictures_for_print(drawn):
    runs, records, _ = drawn
    for record in records:
        for figure in record.samples["figures"]:
            folder = runs / figure["folder"]
            assert sorted(figure["files"]) == sorted(path.name for path in folder.iterdir())
            assert ("heat.png" in figure["files"]) == record.cell["reduction"].startswith("sta")
            drawing = (folder / "tokens.pdf").read_bytes()
            assert drawing.startswith(b"%PDF")
            assert len(re.findall(rb"/Subtype /Image", drawing)) == 4 * 8
            assert b"/CreationDate" not in drawing
            for name in set(figure["files"]) & {"tokens.png", "heat.png"}:
                picture = Image.open(folder / name)
                assert round(picture.info["dpi"][0]) == 360
                pixels = np.asarray(picture.convert("RGB"))
                # No label reaches the edge, where it would be cut.
                assert (pixels[:, :4] == 255).all()
                assert (pixels[-4:] == 255).all()
                assert (pixels[-64:, -4:] == 255).all() or name == "tokens.png"


def test_the_record_says_what_is_left_and_what_was_predicted(drawn):
    sta, random = drawn[1]
    assert sta.value == pytest.approx(100 * 2 * (2 * (2 * 37 - 12) - 12) / 392)
    assert random.value == pytest.approx(100 * 2 * (2 * (2 * 33 - 16) - 16) / 392)
    assert (sta.unit, sta.status, sta.counts) == ("%", "done", {"evaluated": 2, "listed": 2})
    assert [figure["video"] for figure in sta.samples["figures"]] == ["clip 0.mp4", "clip 1.mp4"]
    for figure in sta.samples["figures"]:
        assert [stage["kept"] for stage in figure["stages"]] == [8 * 37, 4 * 62, 2 * 112]
        assert 0 <= figure["predicted"] < CLASSES
        assert 0 <= figure["label"] < CLASSES
        assert 0 < figure["probability"] <= 1


def test_a_video_that_cannot_be_read_is_named_and_the_others_are_drawn(labels, weights, tmp_path):
    broken = tmp_path / "val.txt"
    broken.write_text("missing.mp4 3\nclip 1.mp4 2\n")
    dataset = Dataset(
        "set", str(broken), hashlib.sha256(broken.read_bytes()).hexdigest(), str(labels.parent), CLASSES, "kinetics", 4
    )
    (record,) = draw(make_figure(dataset, weights, cells=CELLS[:1]), tmp_path)
    assert (record.status, record.counts) == ("partial", {"evaluated": 1, "listed": 2})
    assert record.skipped == [{"video": "missing.mp4", "reason": "No such file or directory"}]
    assert [figure["video"] for figure in record.samples["figures"]] == ["clip 1.mp4"]


def test_a_given_video_that_is_none_is_a_reason_in_one_line(labels, weights, tmp_path):
    video = tmp_path / "note.mp4"
    video.write_text("not a video")
    job = make_figure(Dataset("set", "", "", "", CLASSES, "kinetics", 4), weights, str(video), cells=CELLS[:1])
    assert draw(job, tmp_path) == []
    task = read_job(tmp_path, job.id).tasks[0]
    assert task.error.startswith(f"no video could be read; the first: {video} (")
    assert not task.retry


def test_a_given_video_that_has_changed_is_told(labels, weights, tmp_path):
    video = tmp_path / "clip.mp4"
    video.write_bytes((labels.parent / "clip 0.mp4").read_bytes())
    job = make_figure(Dataset("set", "", "", "", CLASSES, "kinetics", 4), weights, str(video), cells=CELLS[:1])
    video.write_bytes((labels.parent / "clip 1.mp4").read_bytes())
    assert draw(job, tmp_path) == []
    assert "has changed since this job was planned" in read_job(tmp_path, job.id).tasks[0].error
