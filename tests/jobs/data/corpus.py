"""`python -m tests.jobs.data.corpus FOLDER`: videos in every container and codec, and what an independent decoder finds
in each: PyAV's FFmpeg, much newer than decord's. A process of its own, as the two do not always get on."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from jobs.data.encoding import X264
from tests.bad_videos import edit, number_of, numbered_frames, trim

FRAMES, HEIGHT, WIDTH = 100, 96, 128
TRIMMED = ((30, 37), (30, 30), (0, 5), (60, 71))
"""Of trimmed MP4s, the key frame from which it is kept and the frame from which it is shown."""
EDITED = ((0, 70), (10, 60), (35, 30), (-2, FRAMES))
"""Of MP4s with an edit list of one part, the first frame shown (before the first of the file in one), and how many."""
EDITED_CODINGS = ("h264-b", "h264-open", "hevc-open", "vp9-lag", "mpeg4-b")


@dataclass(frozen=True)
class Coding:
    """A codec with one structure of groups of pictures."""

    codec: str
    encoder: str
    options: Mapping[str, str] = field(default_factory=dict)
    pixels: str = "yuv420p"


def _h264(parameters: str, group: int = 30) -> Coding:
    fixed = f"keyint={group}:min-keyint={group}:scenecut=0:threads=1:{X264}:{parameters}"
    return Coding("H.264", "libx264", {"preset": "veryfast", "crf": "20", "x264-params": fixed})


def _hevc(parameters: str) -> Coding:
    fixed = f"log-level=none:keyint=30:min-keyint=30:scenecut=0:pools=1:{parameters}"
    return Coding("HEVC", "libx265", {"preset": "ultrafast", "x265-params": fixed})


_GROUP = {"g": "12", "qscale": "2"}
CODINGS = {
    "h264-p": _h264("bframes=0"),
    "h264-b": _h264("bframes=3:b-adapt=0:b-pyramid=none"),
    "h264-pyramid": _h264("bframes=8:b-adapt=0:b-pyramid=normal"),
    "h264-open": _h264("open-gop=1:bframes=3:b-adapt=0"),
    "h264-long": _h264("bframes=3:b-adapt=0", group=999),
    "h264-intra": _h264("", group=1),
    "h264-refresh": _h264("intra-refresh=1"),
    "h264-interlaced": _h264("bframes=3:b-adapt=0:tff=1"),
    "h264-deep": Coding(
        "H.264", "libx264", {"preset": "veryfast", "crf": "20", "x264-params": f"threads=1:{X264}"}, "yuv420p10le"
    ),
    "hevc-p": _hevc("bframes=0"),
    "hevc-open": _hevc("bframes=4:open-gop=1"),
    "vp8": Coding("VP8", "libvpx", {"cpu-used": "8", "g": "60"}),
    "vp8-hidden": Coding("VP8", "libvpx", {"cpu-used": "8", "g": "20"}),
    "vp9": Coding("VP9", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "30"}),
    "vp9-lag": Coding(
        "VP9",
        "libvpx-vp9",
        {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "cpu-used": "8", "g": "40"},
    ),
    "mpeg4-p": Coding("MPEG-4", "mpeg4", _GROUP),
    "mpeg4-b": Coding("MPEG-4", "mpeg4", _GROUP | {"bf": "2"}),
    "mpeg2-b": Coding("MPEG-2", "mpeg2video", _GROUP | {"bf": "2"}),
    "mpeg1-b": Coding("MPEG-1", "mpeg1video", _GROUP | {"bf": "2"}),
    "mjpeg": Coding("Motion JPEG", "mjpeg", {"qscale": "2"}, "yuvj420p"),
    "msmpeg4v2": Coding("MS MPEG-4 v2", "msmpeg4v2", _GROUP),
    "msmpeg4v3": Coding("MS MPEG-4 v3", "msmpeg4", _GROUP),
    "sorenson": Coding("Sorenson H.263", "flv", _GROUP),
    "wmv1": Coding("WMV 7", "wmv1", _GROUP),
    "wmv2": Coding("WMV 8", "wmv2", _GROUP),
    "av1": Coding("AV1", "libsvtav1", {"preset": "11", "g": "30", "svtav1-params": "lp=1"}),
    "av1-low": Coding("AV1", "libsvtav1", {"preset": "11", "svtav1-params": "lp=1:pred-struct=1"}),
    "av1-deep": Coding("AV1", "libsvtav1", {"preset": "11", "svtav1-params": "lp=1"}, "yuv420p10le"),
    "ffv1": Coding("FFV1", "ffv1"),
}
_AV1 = ("av1", "av1-low", "av1-deep")
_MPEG = ("mpeg4-p", "mpeg4-b", "mpeg2-b", "mpeg1-b", "mjpeg")
_H264 = tuple(name for name in CODINGS if name.startswith("h264"))
_X26 = tuple(name for name in CODINGS if name.startswith(("h264", "hevc")))
READ: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "mp4": ("MP4", "mp4", (*_X26, "vp9", "vp9-lag", *_AV1, *_MPEG)),
    "mov": ("MP4", "mov", ("h264-b", "h264-open", "hevc-open", "mpeg2-b", "mpeg1-b", "mjpeg")),
    "fragmented.mp4": ("MP4", "mp4", ("h264-b", "h264-open", "hevc-open", "vp9-lag", "av1")),
    "late.mp4": ("MP4", "mp4", ("h264-b", "hevc-open")),
    "uneven.mp4": ("MP4", "mp4", ("h264-p", "h264-b", "hevc-open", "vp9-lag", "av1", "mjpeg")),
    "sound.mp4": ("MP4", "mp4", ("h264-b",)),
    "mkv": ("Matroska", "matroska", (*_X26, *_AV1, *_MPEG)),
    "live.mkv": ("Matroska", "matroska", ("h264-b", "h264-deep", "hevc-open", "mpeg4-b")),
    "late.mkv": ("Matroska", "matroska", ("h264-b", "hevc-open", "mpeg4-b")),
    "uneven.mkv": ("Matroska", "matroska", ("h264-b", "hevc-open", "mpeg4-p")),
    "sound.mkv": ("Matroska", "matroska", ("h264-b",)),
    "webm": ("Matroska", "webm", ("vp8", "vp8-hidden", "vp9", "vp9-lag", "av1", "av1-deep")),
    "live.webm": ("Matroska", "webm", ("vp8", "vp9-lag", "av1")),
    "late.webm": ("Matroska", "webm", ("vp8-hidden", "vp9-lag")),
    "uneven.webm": ("Matroska", "webm", ("vp8", "vp9-lag")),
    "avi": ("AVI", "avi", ("h264-p", "h264-b", "h264-open", *_MPEG, "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2", "vp8")),
    "uneven.avi": ("AVI", "avi", ("h264-p", "mpeg4-p", "mjpeg")),
    "flv": ("FLV", "flv", ("h264-p", "h264-b", "h264-open", "sorenson")),
    "uneven.flv": ("FLV", "flv", ("h264-b", "sorenson")),
    "ts": ("MPEG transport stream", "mpegts", (*_X26, "mpeg4-p", "mpeg4-b", "mpeg2-b", "mpeg1-b")),
    "m2ts": ("MPEG transport stream", "mpegts", ("h264-b", "hevc-open", "mpeg2-b")),
    "uneven.ts": ("MPEG transport stream", "mpegts", ("h264-b", "hevc-open")),
    "sound.ts": ("MPEG transport stream", "mpegts", ("h264-b", "mpeg2-b")),
    "mpg": ("MPEG program stream", "mpeg", ("mpeg1-b", "mpeg2-b", "h264-b")),
    "vob": ("MPEG program stream", "vob", ("mpeg2-b",)),
    "sound.mpg": ("MPEG program stream", "mpeg", ("mpeg1-b", "mpeg2-b")),
    "h264": ("raw H.264", "h264", _H264),
    "hevc": ("raw HEVC", "hevc", ("hevc-p", "hevc-open")),
    "m2v": ("raw MPEG video", "mpeg2video", ("mpeg2-b",)),
    "m1v": ("raw MPEG video", "mpeg1video", ("mpeg1-b",)),
    "wmv": ("Windows Media", "asf", ("wmv1", "wmv2", "msmpeg4v3")),
    "uneven.wmv": ("Windows Media", "asf", ("wmv2",)),
    "ogv": ("Ogg", "ogg", ("vp8",)),
}
"""By the end of a file's name: its container, FFmpeg's name of the format, and what is in it."""
REFUSED: dict[str, tuple[str, tuple[str, ...]]] = {
    "avi": ("avi", ("ffv1",)),
    "mkv": ("matroska", ("msmpeg4v3", "ffv1")),
}


def write(path: Path, form: str, coding: Coding, frames: np.ndarray) -> None:
    """Encode uint8 (frames, height, width, 3), from 10 s on in a file called late, with sound in one called so,
    with every third frame shown for twice as long in one called uneven, and without durations and an index in one
    called live."""
    options = {"movflags": "frag_keyframe+empty_moov"} if "fragmented" in path.name else {}
    options |= {"live": "1"} if "live" in path.name else {}
    options |= {"mpegts_m2ts_mode": "1"} if path.suffix == ".m2ts" else {}
    start = 250 * ("late" in path.name)
    with av.open(str(path), "w", format=form, options=options) as container:
        video = container.add_stream(coding.encoder, rate=25, options=dict(coding.options))
        assert isinstance(video, av.VideoStream)
        video.height, video.width, video.pix_fmt = *frames.shape[1:3], coding.pixels
        video.codec_context.thread_count = 1  # encoders' threads wait busily for each other
        speech = "mp2" if path.suffix == ".mpg" else "aac"
        sound = container.add_stream(speech, rate=44100, layout="mono") if "sound" in path.name else None
        for number, pixel_values in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixel_values, format="rgb24")
            frame.pts, frame.time_base = start + number + ("uneven" in path.name) * (number // 3), Fraction(1, 25)
            for packet in video.encode(frame):
                container.mux(packet)
                if coding is CODINGS["vp8-hidden"] and packet.is_keyframe:
                    container.mux(_hidden(packet))
            if isinstance(sound, av.AudioStream):
                tone = av.AudioFrame.from_ndarray(np.zeros((1, 1764), np.float32), format="fltp", layout="mono")
                tone.sample_rate, tone.pts = 44100, 1764 * number
                container.mux(sound.encode(tone))
        container.mux(video.encode(None))
        if isinstance(sound, av.AudioStream):
            container.mux(sound.encode(None))


def _hidden(packet: av.Packet) -> av.Packet:
    """The same VP8 frame, a little later and not to be shown, as an encoder adds them for reference."""
    data = bytearray(bytes(packet))
    data[0] &= ~(1 << 4)  # show_frame
    hidden = av.Packet(bytes(data))
    hidden.pts = hidden.dts = packet.pts + 1
    hidden.time_base, hidden.stream = packet.time_base, packet.stream
    return hidden


def small(frame: np.ndarray) -> np.ndarray:
    """The means of 8 × 8 pixels, (H, W, 3) → (H / 8, W / 8, 3)."""
    height, width, _ = frame.shape
    return frame.reshape(height // 8, 8, width // 8, 8, 3).mean((1, 3))


def main(folder: Path) -> None:
    frames = numbered_frames(FRAMES, HEIGHT, WIDTH)
    noise = np.random.default_rng(0).integers(-20, 21, frames.shape[1:])
    frames = np.clip(frames.astype(int) + noise, 0, 255).astype(np.uint8)
    for end, (_, form, names) in READ.items():
        for name in names:
            write(folder / f"{name}.{end}", form, CODINGS[name], frames)
    whole = folder / "h264-b.mp4"
    for keep_from, show_from in TRIMMED:
        trim(whole, folder / f"trimmed-{keep_from}-{show_from}.mp4", keep_from, show_from)
    for name in EDITED_CODINGS:
        for first, count in EDITED:
            edit(folder / f"{name}.mp4", folder / f"edited{first}+{count}-{name}.mp4", [(first, count)])
    references = {}
    for path in sorted(folder.iterdir()):
        with av.open(str(path)) as container:
            decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        np.save(folder / f"{path.name}.npy", np.stack([small(frame) for frame in decoded]).astype(np.float32))
        references[path.name] = [int(number_of(frame)) for frame in decoded]
    (folder / "references.json").write_text(json.dumps(references))
    refused = folder / "refused"
    refused.mkdir()
    for end, (form, names) in REFUSED.items():
        for name in names:
            write(refused / f"{name}.{end}", form, CODINGS[name], frames)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
