"""What the packets of a video stream hold, by the first bytes of their pictures: where decoding can begin, and what
nothing else needs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.data.containers import Container, matroska, mp4

if TYPE_CHECKING:
    import av

_H264_SLICES, _H264_IDR, _H264_SETS = range(1, 6), 5, (7, 8)
_HEVC_SLICES, _HEVC_ENTRIES, _HEVC_SETS = range(32), range(16, 22), (32, 33, 34)
"""Types of NAL units (ITU-T H.264 and H.265, table 7-1): pictures, those that decoding may begin with, parameters."""
_DELIMITER, _SEQUENCE = b"\x12\0", 1
"""Of AV1's units: the one that parts pictures, and the type of that with the parameters (AV1 5.3.1)."""


class Pictures:
    """Those of a video stream in MP4 or Matroska; of others it knows nothing."""

    def __init__(self, container: Container, configuration: bytes) -> None:
        """`configuration` is what the container has for the decoder."""
        (self._codec,) = container.codecs if len(container.codecs) == 1 else ("",)
        if container.name not in (mp4.NAME, matroska.NAME):
            self._codec = ""
        # Behind a first byte of 1, the configurations of AVC and HEVC have the bytes of a NAL unit's length, less one.
        place = {"H.264": 4, "HEVC": 21}.get(self._codec, 0)
        known = configuration[:1] == b"\1" and len(configuration) > place
        self._width = (configuration[place] & 3) + 1 if known else 0
        self._sets_inside = False

    def look(self, packet: "av.Packet") -> tuple[bool, bool]:
        """Whether decoding can begin with `packet` if it is a key frame, and whether no other packet needs it.

        It can begin with an IDR picture of H.264, an IDR, BLA or CRA picture of HEVC, and a key frame of VP9 or AV1. A
        key frame of H.264 that is no IDR picture can be the beginning of an intra refresh, of which FFmpeg shows other
        frames. Once a packet has brought parameters, those of the container may be out of date, and only packets that
        bring all of them will do. Pictures of H.264 say whether others refer to them. To be asked of all packets in
        their order.
        """
        data = memoryview(packet)
        if self._codec == "VP9":
            return self._key_of_vp9(data[0]), False
        if self._codec == "AV1":
            head = bytes(data[:3]).removeprefix(_DELIMITER)
            return head[:1] != b"" and head[0] >> 3 & 15 == _SEQUENCE, False
        if self._codec not in ("H.264", "HEVC") or not self._width:
            return False, False
        heads = list(self._units(data))
        hevc = self._codec == "HEVC"
        kinds = [head >> 1 & 63 if hevc else head & 31 for head in heads]
        slices = [kind for kind in kinds if kind in (_HEVC_SLICES if hevc else _H264_SLICES)]
        needed = _HEVC_SETS if hevc else _H264_SETS
        self._sets_inside = self._sets_inside or not set(needed).isdisjoint(kinds)
        entry = bool(slices) and all(kind in _HEVC_ENTRIES if hevc else kind == _H264_IDR for kind in slices)
        spare = not hevc and bool(slices) and not any(head >> 5 & 3 for head in heads)
        return entry and (not self._sets_inside or set(needed) <= set(kinds)), spare

    @staticmethod
    def _key_of_vp9(head: int) -> bool:
        """Whether a frame that begins with this byte is a key frame; of the profile with a bit more it is not known."""
        marker, profile, existing, inter = head >> 6, head >> 4 & 3, head >> 3 & 1, head >> 2 & 1
        return marker == 2 and profile != 3 and not existing and not inter

    def _units(self, data: memoryview) -> Iterator[int]:
        """The first bytes of a packet's NAL units."""
        at = 0
        while at + self._width < len(data):
            length = int.from_bytes(data[at : at + self._width], "big")
            at += self._width
            yield data[at]
            at += length
