import os
import struct
import subprocess
import sys
from dataclasses import dataclass

import av
import cv2
import numpy as np
import pytest

from jobs.data.decoding.faults import LogLost, Unreadable
from jobs.data.reader import read_video
from jobs.data.requests import ClipRequest
from jobs.data.views import frames_needed
from jobs.spec.sampling import sampling
from tests.bad_videos import (
    flip_bits,
    make_bad_videos,
    number_of,
    numbered_frames,
    trim,
    write_video,
)

FRAMES = numbered_frames(100)


@dataclass(frozen=True)
class Every:
    """Asks for every `step`-th frame."""

    step: int = 1
    short_side: int = 48

    def size(self, height: int, width: int) -> tuple[int, int]:
        return height * self.short_side // min(height, width), width * self.short_side // min(height, width)

    def numbers(self, num_frames: int) -> list[int]:
        return list(range(0, num_frames, self.step))


def numbers_read(file, request=Every()):
    video = read_video(file, request)
    return video.num_frames, video.numbers.tolist(), [number_of(frame) for frame in video.frames]


ENCODINGS = {
    "h264": {},
    "no B-frames": {"options": {"bf": "0", "g": "12"}},
    "many B-frames": {"options": {"bf": "8", "b_strategy": "2", "g": "30"}},
    "one key frame": {"options": {"bf": "3", "g": "250", "sc_threshold": "0"}},
    "key frames only": {"options": {"g": "1"}},
    "open groups": {"options": {"x264-params": "open-gop=1:keyint=30:min-keyint=30:scenecut=0:bframes=3:b-adapt=0"}},
    "intra refresh": {"options": {"x264-params": "intra-refresh=1:keyint=30"}},
    "faststart": {"faststart": True},
    "with sound": {"audio": True},
    "mpeg4": {"codec": "mpeg4", "options": {"bf": "2", "g": "12", "qscale": "2"}},
    "hevc": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=30"}},
    "matroska": {"suffix": ".mkv"},
    "vp9": {"suffix": ".webm", "codec": "libvpx-vp9"},
    "vp8": {"suffix": ".webm", "codec": "libvpx"},
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_frames_are_those_asked_for(tmp_path, name):
    encoding = dict(ENCODINGS[name])
    file = write_video(tmp_path / f"video{encoding.pop('suffix', '.mp4')}", FRAMES, **encoding)
    assert numbers_read(file) == (100, list(range(100)), list(range(100)))
    assert numbers_read(file, Every(7)) == (100, list(range(0, 100, 7)), list(range(0, 100, 7)))


def test_the_picture_is_the_encoded_one(tmp_path):
    file = write_video(tmp_path / "video.mp4", FRAMES[:20], options={"crf": "10"})
    with av.open(str(file)) as container:
        expected = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    found = read_video(file, Every()).frames
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).mean() < 2


def test_frames_are_resized_bilinearly_and_the_longer_side_is_rounded_down(tmp_path):
    frames = numbered_frames(10, 98, 127)
    file = write_video(tmp_path / "odd.mp4", frames, pixels="yuv444p")
    whole = read_video(file, Every(short_side=98)).frames
    assert whole.shape == (10, 98, 127, 3)
    small = read_video(file, Every(short_side=56)).frames
    assert small.shape == (10, 56, 72, 3)
    np.testing.assert_array_equal(small, [cv2.resize(frame, (72, 56)) for frame in whole])


def test_upright_videos_keep_their_shape(tmp_path):
    file = write_video(tmp_path / "upright.mp4", numbered_frames(10, 96, 64))
    assert read_video(file, Every(short_side=32)).frames.shape == (10, 48, 32, 3)


@pytest.mark.parametrize("width", [16, 32, 48, 50, 64])
def test_narrow_frames_keep_their_pixels(tmp_path, width):
    file = write_video(tmp_path / "narrow.mp4", numbered_frames(10, 96, width), options={"crf": "10"})
    with av.open(str(file)) as container:
        expected = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert np.abs(read_video(file, Every(short_side=width)).frames.astype(int) - expected).mean() < 2


def test_a_video_marked_as_rotated_is_turned_upright(tmp_path):
    file = write_video(tmp_path / "video.mp4", FRAMES[:10])
    upright = read_video(file, Every()).frames
    data = bytearray(file.read_bytes())
    matrix = data.index(b"tkhd") + 44
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    file.write_bytes(data)
    np.testing.assert_array_equal(read_video(file, Every()).frames, np.rot90(upright, -1, (1, 2)))


def test_frames_hidden_by_an_edit_list_do_not_count(tmp_path):
    whole = write_video(tmp_path / "whole.mp4", FRAMES, options={"g": "30", "sc_threshold": "0", "bf": "2"})
    file = trim(whole, tmp_path / "trimmed.mp4", keep_from=30, show_from=37)
    assert numbers_read(file) == (63, list(range(63)), list(range(37, 100)))
    assert numbers_read(file, Every(4))[1:] == (list(range(0, 63, 4)), list(range(37, 100, 4)))
    grids = ClipRequest(sampling("videomae", "kinetics", 8, 4), ("2x3",), 48)
    assert numbers_read(file, grids)[1] == frames_needed(grids.sampling, 63, ["2x3"])


def test_a_clip_request_reads_what_its_views_need(tmp_path):
    file = write_video(tmp_path / "video.mp4", FRAMES)
    for dataset in ("kinetics", "ssv2"):
        request = ClipRequest(sampling("videomae", dataset, 16, 4), ("2x3", "4x3"), 48)
        video = read_video(file, request)
        assert video.numbers.tolist() == frames_needed(request.sampling, 100, ["2x3", "4x3"])


def test_frames_are_resized_as_the_models_protocol_rounds(tmp_path):
    file = write_video(tmp_path / "video.mp4", numbered_frames(70, 64, 86))
    for way, width in (("videomae", 73), ("video_swin", 74)):  # 73.9
        video = read_video(file, ClipRequest(sampling(way, "kinetics", 16, 4), ("1x3",), 55))
        assert video.frames.shape[1:3] == (55, width)


REASONS = {
    "missing": "No such file or directory",
    "empty": "an empty file",
    "folder": "a folder, not a file",
    "pipe": "a named pipe, not a file",
    "text": r"not a video, or in a container that is not read: copy it .*",
    "audio_only": "no video stream",
    "truncated": r"truncated: \d+ bytes are missing of its 'mdat' box",
    "bit_flipped": "damaged: the decoder reported '.+'",
    "single_frame": "a single frame, not a video",
}


@pytest.fixture(scope="module")
def bad_videos(tmp_path_factory):
    return make_bad_videos(tmp_path_factory.mktemp("videos") / "bad")


@pytest.mark.parametrize("kind", REASONS)
def test_a_bad_video_is_refused_with_a_reason(bad_videos, kind):
    with pytest.raises(Unreadable, match=f"^{REASONS[kind]}$"):
        read_video(bad_videos[kind], Every())


@pytest.mark.parametrize("faststart", [False, True])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_no_truncated_video_passes(tmp_path, faststart, suffix):
    codec = "libx264" if suffix == ".mp4" else "libvpx-vp9"
    data = write_video(tmp_path / f"whole{suffix}", FRAMES, codec, faststart=faststart).read_bytes()
    file = tmp_path / f"cut{suffix}"
    for part in range(1, 40):
        file.write_bytes(data[: len(data) * part // 40])
        with pytest.raises(Unreadable):
            read_video(file, Every())


def test_damage_is_found(tmp_path):
    file = tmp_path / "video.mp4"
    whole = write_video(tmp_path / "whole.mp4", FRAMES, options={"g": "30"}).read_bytes()
    for seed in range(20):
        file.write_bytes(whole)
        flip_bits(file, 20, seed)
        with pytest.raises(Unreadable):
            read_video(file, Every())


def test_damage_anywhere_counts_whatever_frames_are_wanted(tmp_path):
    file = write_video(tmp_path / "video.mp4", FRAMES, options={"g": "10", "bf": "0"})
    data = bytearray(file.read_bytes())
    end = data.index(b"moov") - 4
    data[end - 200 : end - 100] = bytes(100)
    file.write_bytes(data)
    with pytest.raises(Unreadable, match=r"^damaged"):
        read_video(file, Every(1000))


def test_a_missing_index_is_told_from_no_video(tmp_path):
    file = write_video(tmp_path / "video.mp4", FRAMES)
    os.truncate(file, file.read_bytes().index(b"moov") - 4)
    with pytest.raises(Unreadable, match=r"^truncated: the index, its 'moov' box, is missing$"):
        read_video(file, Every())


def test_a_picture_is_not_a_video(tmp_path):
    file = tmp_path / "picture.jpg"
    cv2.imwrite(str(file), FRAMES[0])
    with pytest.raises(Unreadable):
        read_video(file, Every())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    file = write_video(tmp_path / "video.mp4", FRAMES[:5])
    file.chmod(0)
    with pytest.raises(Unreadable, match="Permission denied"):
        read_video(file, Every())


def test_standard_error_is_given_back(bad_videos, capfd):
    for kind in ("text", "bit_flipped"):
        with pytest.raises(Unreadable):
            read_video(bad_videos[kind], Every())
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_asking_for_videos_loads_no_torch_and_no_decoder():
    check = "import sys, jobs.data.pool; print(*({'torch', 'decord', 'cv2', 'av', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "\n"


LIMITED = """
import resource, sys, tempfile
from tests.jobs.data.test_reader import Every, LogLost, Unreadable, read_video
if sys.argv[1] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))
if sys.argv[1] == "fill":
    with open(tempfile.gettempdir() + "/all", "wb", buffering=0) as everything:
        try:
            while everything.write(bytes(4096)):
                pass
        except OSError as error:
            assert error.errno == 28
for file in sys.argv[2:]:
    try:
        print("read", read_video(file, Every()).num_frames)
    except Unreadable as error:
        print("refused", error)
    except LogLost as error:
        print("lost", error)
"""


def read_elsewhere(*arguments, around=(), **variables):
    """What a process of its own says of each file."""
    command = [*around, sys.executable, "-c", LIMITED, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": os.getcwd()} | variables
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A sound video, and six in which bits were flipped, in a codec that decord reads: what it says of damage goes to
    standard error."""
    folder = tmp_path_factory.mktemp("damaged")
    files = [write_video(folder / f"{number}.mp4", FRAMES, "mpeg4") for number in range(7)]
    for number, file in enumerate(files[1:]):
        flip_bits(file, 40, seed=number)
    return files


def outcomes(lines):
    return [line.partition(" ")[0] for line in lines]


@pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0, reason="takes a mount"
)
def test_damage_is_found_while_no_disk_has_room(damaged, tmp_path):
    """What FFmpeg says is kept in memory: a small file system stands in for a full /tmp."""
    (tmp_path / "full").mkdir()
    around = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=64k none {tmp_path}/full; exec "$@"', "sh"]
    lines = read_elsewhere("fill", *damaged, around=around, TMPDIR=str(tmp_path / "full"))
    assert outcomes(lines) == ["read"] + ["refused"] * 6
    assert all(line.startswith("refused damaged: ") for line in lines[1:])


LOST = "the decoder's reports of damage cannot be captured on this machine"


def test_a_log_that_cannot_be_kept_is_an_error_of_the_machine(damaged):
    """Also with a sound video, as nobody could tell; and not of the video, which would be left out of the accuracy."""
    lines = read_elsewhere("limit", *damaged)
    assert set(outcomes(lines)) <= {"lost", "refused"}
    assert lines[0] == f"lost {LOST}"


@pytest.mark.parametrize("call", ["memfd_create", "dup"])
def test_a_log_that_cannot_be_made_is_an_error_of_the_machine(damaged, monkeypatch, call):
    def fail(*_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(LogLost, match=f"^{LOST}: Too many open files$"):
        read_video(damaged[0], Every())


def test_no_variable_of_the_environment_hides_damage_or_changes_what_is_read(damaged):
    variables = {"AV_LOG_FORCE_COLOR": "1", "DECORD_EOF_RETRY_MAX": "1", "DECORD_REWIND_RETRY_MAX": "1"}
    plain = read_elsewhere("", *damaged)
    assert read_elsewhere("", *damaged, **variables) == plain
    assert outcomes(plain) == ["read"] + ["refused"] * 6
