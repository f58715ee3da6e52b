"""All frames of videos in every container, codec and structure of groups of pictures that are read, compared with an
independent decode; what is not compared is refused."""

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from jobs.data import reader
from jobs.data.containers import COMPARED, hidden_frames
from jobs.data.reader import Unreadable, check_file, read_video
from tests.bad_videos import number_of
from tests.jobs.data.corpus import CODINGS, FRAMES, HEIGHT, READ, REFUSED, TRIMMED, small

NAMES = [f"{name}.{end}" for end, (_, _, names) in READ.items() for name in names]
TRIMS = [f"trimmed-{first}-{shown}.mp4" for first, shown in TRIMMED]


@dataclass(frozen=True)
class Every:
    """Asks for every frame."""

    short_side: int = HEIGHT

    def numbers(self, num_frames: int) -> list[int]:
        return list(range(num_frames))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    command = [sys.executable, "-m", "tests.jobs.data.corpus", str(folder)]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_container_and_codec_that_is_read_is_in_the_corpus() -> None:
    found: dict[str, set[str]] = {}
    for container, _, names in READ.values():
        found.setdefault(container, set()).update(CODINGS[name].codec for name in names)
    assert found == COMPARED


@pytest.mark.parametrize("name", NAMES + TRIMS)
def test_the_frames_are_those_of_an_independent_decode(corpus: Path, name: str) -> None:
    expected = json.loads((corpus / "references.json").read_text())[name]
    if name in NAMES:
        assert expected == list(range(FRAMES)), "the corpus itself"
        container, _, _ = READ[name.partition(".")[2]]
        (codec,) = check_file(corpus / name).codecs
        assert (check_file(corpus / name).name, codec) == (container, CODINGS[name.partition(".")[0]].codec)
    video = read_video(corpus / name, Every())
    assert [number_of(frame) for frame in video.frames] == expected
    reference = np.load(corpus / f"{name}.npy")
    difference = np.abs(np.stack([small(frame) for frame in video.frames]) - reference).mean((1, 2, 3))
    assert difference.max() < 3


@pytest.mark.parametrize("name", [f"{name}.{end}" for end, (_, names) in REFUSED.items() for name in names])
def test_what_was_not_compared_is_refused_with_a_remedy(corpus: Path, name: str) -> None:
    for path in (corpus / "refused" / name, corpus / "refused" / f"{name}.as.mp4"):
        if not path.exists():
            path.symlink_to(corpus / "refused" / name)
        with pytest.raises(Unreadable, match=r"^[^\n]*: (copy it into MP4|encode it as H\.264)[^\n]*$"):
            read_video(path, Every())


@pytest.mark.parametrize("name", ["remuxed-h264-b.mkv", "remuxed-mpeg2-b.mkv"])
def test_the_remedy_mends_it(corpus: Path, name: str) -> None:
    assert [number_of(frame) for frame in read_video(corpus / "refused" / name, Every()).frames] == list(range(FRAMES))


@pytest.mark.parametrize("name", ["vp8-hidden.webm", "trimmed-30-37.mp4"])
@pytest.mark.parametrize(
    ("more", "why"), [(None, "nothing in it says why"), (1, r"it says itself that \d+ are hidden")]
)
def test_fewer_frames_than_listed_need_the_cause_that_the_file_names(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, name: str, more: int | None, why: str
) -> None:
    with open(corpus / name, "rb") as content:
        hidden = hidden_frames(check_file(corpus / name), content, (corpus / name).stat().st_size)
    assert hidden > 0
    found = 0 if more is None else hidden + more
    monkeypatch.setattr(reader, "hidden_frames", lambda *_: found)
    listed = FRAMES - 30 if "trimmed" in name else FRAMES + hidden
    message = f"^only {listed - hidden} of the {listed} frames that the file lists are shown, and {why}$"
    with pytest.raises(Unreadable, match=message):
        read_video(corpus / name, Every())


def test_what_a_file_says_of_its_tracks_may_be_damaged(corpus: Path, tmp_path: Path) -> None:
    """Whatever the bytes of a file's beginning and end are, there is a line that says why it is not read, if it is
    not."""
    rng = np.random.default_rng(0)
    for name in ("h264-b.mp4", "h264-b.mkv", "vp8-hidden.webm", "h264-b.avi", "h264-b.flv", "trimmed-30-37.mp4"):
        whole = (corpus / name).read_bytes()
        places = [*range(600), *range(len(whole) - 3000, len(whole))]
        for number in range(40):
            data = bytearray(whole)
            for place in rng.choice(places, 3):
                data[place] = rng.integers(256)
            (path := tmp_path / f"{number}-{name}").write_bytes(data)
            with contextlib.suppress(Unreadable):
                found = check_file(path)
                with open(path, "rb") as content:
                    hidden_frames(found, content, len(data))
