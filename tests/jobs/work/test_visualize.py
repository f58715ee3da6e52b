"""Figures of a few small videos: what is white is what the model dropped, and it was asked once."""

import base64
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from jobs.data.pool import DecodePool
from jobs.figures.animation import animate
from jobs.figures.drawing import GAP, HEADER, Row
from jobs.figures.drawing import draw as draw_rows
from jobs.figures.shown import shown_stages
from jobs.node.task import cancel_file
from jobs.spec.cells import Cell
from jobs.spec.jobs import Checkpoint, Dataset, Visualize
from jobs.spec.wire import to_dict
from jobs.work.visualize import read
from models.catalog import architecture
from models.reduction.random import RandomDropping
from models.reduction.sta import STA
from models.tracing import Stage
from results.files import read_json, write_json
from results.progress import job_folder, read_job
from results.records import Record, read_records
from tests.jobs.small_set import CLASSES, make_dataset, make_set, make_weights
from tests.jobs.submitted import run_here

SIDE = 168
"""Of a frame: 7 patches of 24 pixels, fewer than in earnest, which takes its time."""
REDUCTIONS = ("sta:r=12", "random:r=16", "sta:r=10,at=1-3-5-7")
"""The last has a fourth stage, which finds one slot."""
CELLS = tuple(Cell("vit_demo", reduction, "set", "", "tokens_kept") for reduction in REDUCTIONS)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobs.work.visualize.SIDE", SIDE)
        yield


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three landscape videos and one upright."""
    folder = tmp_path_factory.mktemp("set")
    lines = make_set(folder / "upright", videos=1, size=(72, 96)).read_text()
    labels = make_set(folder, videos=3)
    labels.write_text(labels.read_text() + f"upright/{lines}")
    return labels


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights") / "demo.safetensors")


def make_figure(
    dataset: Dataset, weights: Path, video: str = "", cells: tuple[Cell, ...] = CELLS, precision: str = "fp32"
) -> Visualize:
    digest = hashlib.sha256(Path(video).read_bytes()).hexdigest() if video else ""
    return Visualize(cells, "vit_demo", Checkpoint.of(weights), dataset, video, digest, 2, precision, 30.0, 1)


def draw(job: Visualize, runs: Path) -> list[Record]:
    content = {"id": job.id, "tasks": 1, "profile": "test", "spec": to_dict(job)}
    write_json(job_folder(runs, job.id) / "job.json", content)
    with suppress(RuntimeError):
        run_here(runs, (job.id, 0))
    return sorted(read_records(runs)[0], key=lambda record: record.cell["reduction"], reverse=True)


@pytest.fixture(scope="module")
def drawn(labels: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory):
    """Two videos under two reductions: the runs folder, its records, and every choice that a model was asked for."""
    runs = tmp_path_factory.mktemp("runs")
    with watched() as asked:
        records = draw(make_figure(make_dataset(labels), weights), runs)
    return runs, records, asked


@contextmanager
def watched() -> Iterator[list[tuple[str, int, torch.Tensor]]]:
    """Every choice that a model asks for meanwhile: of which reduction, in which stage, and what was kept."""
    asked: list[tuple[str, int, torch.Tensor]] = []
    with pytest.MonkeyPatch.context() as patch:
        for method in (STA, RandomDropping):
            keep = method.keep

            def spy(self, tokens, keys, stage, keep=keep):
                kept = keep(self, tokens, keys, stage)
                asked.append((self.canonical(architecture("vit_demo")), stage, kept))
                return kept

            patch.setattr(method, "keep", spy)
        yield asked


def kept_patches(choices: list[torch.Tensor]) -> list[set[int]]:
    """For each stage of one clip the places that are left, slot · 49 + patch, followed token by token."""
    slots, stages = [[slot * 49 + patch for patch in range(49)] for slot in range(8)], []
    for kept in choices:
        left = [[slots[t][n] for n in kept[0, t].tolist()] for t in range(len(slots))]
        stages.append({place for slot in left for place in slot})
        slots = [left[t] + left[t + 1] for t in range(0, len(left), 2)] if len(left) > 1 else left
    return stages


def figures_with_choices(drawn) -> list[tuple[Path, str, list[set[int]]]]:
    """Each figure's folder, its reduction, and the patches that its stages kept by the choices made meanwhile."""
    runs, records, asked = drawn
    found = []
    for record in records:
        choices = [kept for name, _, kept in asked if name == record.cell["reduction"]]
        for number, figure in enumerate(record.samples["figures"]):
            count = len(figure["stages"])
            stages = kept_patches(choices[count * number : count * number + count])
            found.append((runs / figure["folder"], record.cell["reduction"], stages))
    return found


def test_each_stage_was_asked_once_a_video_and_reduction(drawn):
    stages = [(name, stage) for name, stage, _ in drawn[2]]
    expected = [(name, stage) for name in REDUCTIONS for stage in range(1, 5 if "at" in name else 4)]
    assert sorted(stages) == sorted(2 * expected)


def test_white_patches_are_exactly_those_of_dropped_tokens(drawn):
    for folder, _, stages in figures_with_choices(drawn):
        picture = np.asarray(Image.open(folder / "tokens.png").convert("RGB"))
        margin = picture.shape[1] - 8 * (SIDE + GAP)
        assert picture.shape[0] == HEADER + (1 + len(stages)) * (SIDE + GAP)
        tiles = [
            [
                picture[HEADER + r * (SIDE + GAP) :, margin + slot * (SIDE + GAP) :][:SIDE, :SIDE].astype(int)
                for slot in range(8)
            ]
            for r in range(1 + len(stages))
        ]
        for r, kept in enumerate(stages, 1):
            for place in range(392):
                slot, (row, column) = place // 49, divmod(place % 49, 7)
                patch = np.s_[24 * row : 24 * row + 24, 24 * column : 24 * column + 24]
                shown, frame = tiles[r][slot][patch], tiles[0][slot][patch]
                assert (shown == (frame if place in kept else 255)).all(), (folder.name, r, place)


def test_what_the_page_shows_is_the_same(drawn):
    for folder, reduction, stages in figures_with_choices(drawn):
        page = read_json(folder / "page.json")
        assert (page["rows"], page["columns"], page["reduction"]) == (7, 7, reduction)
        assert [one["block"] for one in page["stages"]] == ([1, 3, 5, 7] if "at" in reduction else [1, 5, 9])
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
                # Of one slot, which is the first visited as well, there are no scores.
                assert valued == before if name == "importance" else valued < before
            before = kept


def test_the_places_are_kept_as_they_were(drawn):
    for folder, reduction, stages in figures_with_choices(drawn):
        with np.load(folder / "kept.npz") as places:
            assert [set(places[f"stage{n}_kept"].tolist()) for n in range(1, len(stages) + 1)] == stages
            assert ("stage2_score" in places) == reduction.startswith("sta")
            assert len(places["frames"]) == 16


def test_the_clip_plays_with_the_same_patches_white(drawn):
    for folder, _, stages in figures_with_choices(drawn):
        clip = Image.open(folder / "clip.gif")
        assert (clip.n_frames, clip.info["loop"], clip.info["duration"]) == (16, 0, 200)
        assert clip.size == (SIDE + len(stages) * (SIDE + 4), 22 + SIDE)
        for frame in (0, 9, 15):
            clip.seek(frame)
            picture = np.asarray(clip.convert("RGB")).astype(int)
            for number, kept in enumerate(stages, 1):
                panel = picture[22:, number * (SIDE + 4) :][:, :SIDE].reshape(7, 24, 7, 24, 3).transpose(0, 2, 1, 3, 4)
                white = panel.reshape(49, -1).min(axis=1) > 250
                assert {patch for patch in range(49) if white[patch]} == {
                    patch for patch in range(49) if frame // 2 * 49 + patch not in kept
                }


def test_pictures_for_print(drawn):
    runs, records, _ = drawn
    for record in records:
        for figure in record.samples["figures"]:
            folder = runs / figure["folder"]
            assert sorted([*figure["files"], "page.json"]) == sorted(path.name for path in folder.iterdir())
            assert ("heat.png" in figure["files"]) == record.cell["reduction"].startswith("sta")
            drawing = (folder / "tokens.pdf").read_bytes()
            assert drawing.startswith(b"%PDF")
            # All frames are one picture, every pixel of it.
            (size,) = re.findall(rb"/Subtype /Image /Width (\d+) /Height (\d+)", drawing)
            stages = len(figure["stages"])
            assert tuple(map(int, size)) == (8 * (SIDE + GAP) + GAP, (1 + stages) * (SIDE + GAP) + GAP)
            assert b"/CreationDate" not in drawing
            for name in set(figure["files"]) & {"tokens.png", "heat.png"}:
                picture = Image.open(folder / name)
                assert round(picture.info["dpi"][0]) == 360
                pixels = np.asarray(picture.convert("RGB"))
                # No label reaches the edge, where it would be cut.
                assert (pixels[:, :4] == 255).all()
                assert (pixels[-4:] == 255).all()
                assert (pixels[:4] == 255).all()
                assert (pixels[:, -4:] == 255).all()


def test_the_record_says_what_is_left_and_what_was_predicted(drawn):
    sta, _, random = drawn[1]
    assert sta.value == pytest.approx(100 * 2 * (2 * (2 * 37 - 12) - 12) / 392)
    assert random.value == pytest.approx(100 * 2 * (2 * (2 * 33 - 16) - 16) / 392)
    assert (sta.unit, sta.status, sta.counts) == ("%", "done", {"evaluated": 2, "listed": 2})
    assert [figure["video"] for figure in sta.samples["figures"]] == ["clip 0.mp4", "clip 2.mp4"]
    for figure in sta.samples["figures"]:
        assert [stage["kept"] for stage in figure["stages"]] == [8 * 37, 4 * 62, 2 * 112]
        assert 0 <= figure["predicted"] < CLASSES
        assert 0 <= figure["label"] < CLASSES
        assert 0 < figure["probability"] <= 1


def test_under_mixed_precision_too(labels, weights, tmp_path):
    with watched() as asked:
        job = make_figure(make_dataset(labels), weights, cells=CELLS[:1], precision="bf16")
        (record,) = draw(job, tmp_path)
    for folder, _, stages in figures_with_choices((tmp_path, [record], asked)):
        with np.load(folder / "kept.npz") as places:
            assert [set(places[f"stage{n}_kept"].tolist()) for n in (1, 2, 3)] == stages


@pytest.mark.parametrize("name", ["clip 1.mp4", "upright/clip 0.mp4"])
def test_the_clip_that_is_shown_is_the_one_that_the_model_takes(labels, weights, name):
    job = make_figure(make_dataset(labels), weights)
    with DecodePool(1, 30.0) as pool:
        clip = read(job, str(labels.parent / name), pool)
    assert clip.shown.shape == (16, SIDE, SIDE, 3)
    taken = clip.taken.numpy().astype(int)

    def difference(frames: np.ndarray) -> float:
        small = [cv2.resize(frame, (56, 56), interpolation=cv2.INTER_AREA) for frame in frames]
        return float(np.abs(np.stack(small).astype(int) - taken)[:, 4:-4, 4:-4].mean())

    here = difference(clip.shown)
    for axis in (1, 2):
        for pixels in (-6, 6):  # two of the model's
            assert here < 0.6 * difference(np.roll(clip.shown, pixels, axis))


def test_one_token_without_a_value_leaves_the_others_theirs():
    seen = torch.arange(392)[None]
    values = torch.linspace(2, 5, 392)[None].clone()
    values[0, 3] = float("nan")
    (stage,) = shown_stages([Stage(1, "after", 1, 8, seen, seen, [None], {"mine": values})], architecture("vit_demo"))
    assert np.isnan(stage.maps["mine"]).sum() == 1
    assert np.nanmin(stage.maps["mine"], axis=1).tolist() == [0] * 8
    assert np.nanmax(stage.maps["mine"], axis=1).tolist() == [1] * 8


def test_the_users_own_settings_of_matplotlib_alter_no_pixel(tmp_path):
    rows = [Row("a label of which nothing may be cut, however long", np.zeros((2, 49, 49, 3), np.uint8))]
    draw_rows(rows, [0, 2], [tmp_path / "plain.png"])
    with matplotlib.rc_context({"savefig.bbox": "tight", "figure.autolayout": True, "text.usetex": True}):
        draw_rows(rows, [0, 2], [tmp_path / "other.png"])
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "other.png").read_bytes()
    assert (np.asarray(Image.open(tmp_path / "plain.png").convert("RGB"))[:, :4] == 255).all()


def test_names_that_are_cut_to_the_same_are_told_apart(labels, weights, tmp_path):
    reductions = [f"random:r=16,seed={10**40 + last}" for last in (1, 2)]
    cells = tuple(Cell("vit_demo", reduction, "set", "", "tokens_kept") for reduction in reductions)
    records = draw(make_figure(make_dataset(labels), weights, cells=cells), tmp_path)
    folders = {figure["folder"] for record in records for figure in record.samples["figures"]}
    assert len(folders) == 4
    assert all((tmp_path / folder / "page.json").exists() for folder in folders)


def test_a_job_that_is_told_to_stop_does_so_between_two_figures(labels, weights, tmp_path, monkeypatch):
    job = make_figure(make_dataset(labels), weights)

    def animated(shown, file):
        animate(shown, file)
        cancel_file(tmp_path, job.id).touch()

    monkeypatch.setattr("jobs.work.visualize.animate", animated)
    assert draw(job, tmp_path) == []
    task = read_job(tmp_path, job.id).tasks[0]
    assert (task.state, task.done, task.total) == ("cancelled", 1, 6)
    assert len(list((job_folder(tmp_path, job.id) / "figures").iterdir())) == 1


def test_scores_that_are_no_numbers_are_said_so_before_anything_is_drawn(labels, tmp_path):
    weights = make_weights(tmp_path / "wild.safetensors")
    state = load_file(weights)
    save_file(state | {"head.weight": state["head.weight"] * 1e38}, weights)
    job = make_figure(make_dataset(labels), weights, cells=CELLS[:1])
    assert draw(job, tmp_path) == []
    said = read_job(tmp_path, job.id).tasks[0].error
    assert said == (
        "vit_demo with sta:r=12 in fp32 gives scores that are not finite; try --set evaluate.precision=fp32"
    )
    assert not (job_folder(tmp_path, job.id) / "figures").exists()


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
