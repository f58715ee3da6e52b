"""The packets of a file's video stream: how many frames it lists, and from which of them a span can be decoded.

FFmpeg's own seeking is not used: it lands on wrong frames in open groups of pictures, in files without an index and
after edit lists. Packets are counted from the file's beginning instead, which costs little beside decoding them, and
those before a span are passed over.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobs.data.containers import Container, matroska, mp4
from jobs.data.decoding.ffmpeg import opened

if TYPE_CHECKING:
    import av

_H264_SLICES, _H264_IDR, _H264_SETS = range(1, 6), 5, (7, 8)
_HEVC_SLICES, _HEVC_ENTRIES, _HEVC_SETS = range(32), range(16, 22), (32, 33, 34)
"""Types of NAL units (ITU-T H.264 and H.265, table 7-1): pictures, those that decoding may begin with, parameters."""
_DELIMITER, _SEQUENCE = b"\x12\0", 1
"""Of AV1's units: the one that parts pictures, and the type of that with the parameters (AV1 5.3.1)."""


@dataclass
class Span:
    """Packets, from one that decoding can begin with."""

    start: int
    stop: int
    left: set[int]
    """Frames wanted of it that have not come yet."""


@dataclass
class Packets:
    """Those of a video stream that have content, in the order of decoding."""

    times: list[int | None] = field(default_factory=list)
    """When each is shown, in the stream's own units."""
    hidden: list[bool] = field(default_factory=list)
    """Whether the container says that it is decoded only."""
    entries: list[int] = field(default_factory=list)
    """Those that decoding can begin with as if it had begun with the first."""
    samples: int = 0
    """How many the container lists, those included that an edit list leaves out; 0: it does not say."""

    @classmethod
    def of(cls, file: str, container: Container) -> "Packets":
        """Those of a file. Raises Unreadable."""
        packets = cls()
        with opened(file, container) as (content, stream):
            begins = _Entries(container, stream.codec_context.extradata or b"")
            packets.samples = stream.frames if container.name == mp4.NAME else 0
            for packet in content.demux(stream):
                if packet.size:
                    if packet.is_keyframe and begins.at(packet):
                        packets.entries.append(len(packets.times))
                    packets.times.append(packet.pts)
                    packets.hidden.append(packet.is_discard)
        return packets

    @property
    def listed(self) -> int:
        """Frames that the file lists."""
        return max(self.samples, len(self.times))

    @property
    def shown(self) -> int:
        """Frames that the container means to be shown."""
        return self.hidden.count(False)

    def numbers(self) -> dict[int, int]:
        """The number of the frame that is shown at each time; empty where times do not tell frames apart."""
        shown = [time for time, hidden in zip(self.times, self.hidden, strict=True) if not hidden]
        times = sorted(time for time in shown if time is not None)
        return {time: number for number, time in enumerate(times)} if len(set(times)) == len(shown) else {}

    def spans(self, wanted: Iterable[int]) -> list[Span]:
        """The packets that the frames `wanted` are decoded from; none where times do not tell frames apart, or decoding
        cannot begin with the first packet."""
        time_of = {number: time for time, number in self.numbers().items()}
        if not time_of or self.entries[:1] != [0]:
            return []
        packet_of = {time: index for index, time in enumerate(self.times)}
        ends = [*self.entries[1:], len(self.times)]
        groups: dict[int, set[int]] = {}
        for number in wanted:
            time = time_of[number]
            group = bisect_right(self.entries, packet_of[time]) - 1
            groups.setdefault(group, set()).add(number)
            # A picture shown before the one that its group begins with may need the group before.
            first = self.times[self.entries[group]]
            if group and (first is None or time < first):
                groups.setdefault(group - 1, set())
        spans: list[Span] = []
        for group, numbers in sorted(groups.items()):
            if spans and spans[-1].stop == self.entries[group]:
                spans[-1].stop = ends[group]
                spans[-1].left |= numbers
            else:
                spans.append(Span(self.entries[group], ends[group], numbers))
        return spans


class _Entries:
    """Tells the packets that decoding can begin with, beyond their container's word.

    Those are an IDR picture of H.264, an IDR, BLA or CRA picture of HEVC, and a key frame of VP9 or AV1, in MP4 and
    Matroska. A key frame of H.264 that is no IDR picture can be the beginning of an intra refresh, of which FFmpeg
    shows other frames. Where the first packet brings parameters of its own, each must.
    """

    def __init__(self, container: Container, configuration: bytes) -> None:
        (self._codec,) = container.codecs if len(container.codecs) == 1 else ("",)
        if container.name not in (mp4.NAME, matroska.NAME):
            self._codec = ""
        # Behind a first byte of 1, the configurations of AVC and HEVC have the bytes of a NAL unit's length, less one.
        field_at = {"H.264": 4, "HEVC": 21}.get(self._codec, 0)
        known = configuration[:1] == b"\1" and len(configuration) > field_at
        self._width = (configuration[field_at] & 3) + 1 if known else 0
        self._with_sets: bool | None = None

    def at(self, packet: "av.Packet") -> bool:
        """Whether decoding can begin with `packet`, which its container says is a key frame."""
        if self._codec == "VP9":
            head = memoryview(packet)[0]
            marker, existing, inter = head >> 6, head >> 3 & 1, head >> 2 & 1
            return marker == 2 and not existing and not inter
        if self._codec == "AV1":
            data = bytes(packet).removeprefix(_DELIMITER)
            return data[:1] != b"" and data[0] >> 3 & 15 == _SEQUENCE
        if self._codec not in ("H.264", "HEVC") or not self._width:
            return False
        kinds = self._units(bytes(packet))
        hevc = self._codec == "HEVC"
        slices = [kind for kind in kinds if kind in (_HEVC_SLICES if hevc else _H264_SLICES)]
        sets = any(kind in (_HEVC_SETS if hevc else _H264_SETS) for kind in kinds)
        if self._with_sets is None:
            self._with_sets = sets
        entry = all(kind in _HEVC_ENTRIES if hevc else kind == _H264_IDR for kind in slices)
        return bool(slices) and entry and (sets or not self._with_sets)

    def _units(self, data: bytes) -> list[int]:
        """The types of the NAL units of a packet."""
        kinds, at = [], 0
        while at + self._width < len(data):
            length = int.from_bytes(data[at : at + self._width], "big")
            at += self._width
            head = data[at]
            kinds.append(head >> 1 & 63 if self._codec == "HEVC" else head & 31)
            at += length
        return kinds
