"""Formats that are told by their first bytes, and whose codecs FFmpeg's demuxer has to name: MPEG transport and program
streams (ISO/IEC 13818-1), pictures without a container (Annex B of ITU-T H.264 and H.265; ISO/IEC 13818-2), Windows
Media and Ogg."""

TRANSPORT, PROGRAM, ASF, OGG = "MPEG transport stream", "MPEG program stream", "Windows Media", "Ogg"
RAW_H264, RAW_HEVC, RAW_MPEG = "raw H.264", "raw HEVC", "raw MPEG video"

CODECS = {
    TRANSPORT: ("H.264", "HEVC", "MPEG-4", "MPEG-2", "MPEG-1"),
    PROGRAM: ("H.264", "MPEG-2", "MPEG-1"),
    ASF: ("WMV 7", "WMV 8", "MS MPEG-4 v3"),
    OGG: ("VP8",),
    RAW_H264: ("H.264",),
    RAW_HEVC: ("HEVC",),
    RAW_MPEG: ("MPEG-2", "MPEG-1"),
}
DEMUXERS = {
    TRANSPORT: "mpegts",
    PROGRAM: "mpeg",
    ASF: "asf",
    OGG: "ogg",
    RAW_H264: "h264",
    RAW_HEVC: "hevc",
    RAW_MPEG: "mpegvideo",
}
"""FFmpeg's names."""
_PACKETS = ((188, 0), (192, 4), (204, 0))
"""Lengths of a transport stream's packets, with what may stand before or after each, and where their mark is."""
_MARK = 0x47
_H264_FIRST = (6, 7, 9)
_HEVC_FIRST = (32, 33, 35)
"""NAL units that a stream begins with: parameters, delimiters and, of H.264, remarks."""


def kind(head: bytes) -> str:
    """Which of these a file is that begins with `head`; empty for none."""
    if head.startswith(b"\0\0\1\xba"):
        return PROGRAM
    if head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"):
        return ASF
    if head.startswith(b"OggS"):
        return OGG
    if head.startswith(b"\0\0\1\xb3"):
        return RAW_MPEG
    if _packet_length(head):
        return TRANSPORT
    for code in (b"\0\0\0\1", b"\0\0\1"):
        unit = head[len(code) : len(code) + 2]
        if head.startswith(code) and len(unit) == 2:
            if unit[0] >> 1 & 63 in _HEVC_FIRST and not unit[0] & 0x81 and unit[1] == 1:
                return RAW_HEVC
            if unit[0] & 31 in _H264_FIRST and not unit[0] & 0x80:
                return RAW_H264
    return ""


def check_whole(name: str, head: bytes, size: int) -> None:
    """ValueError where a transport stream of `size` bytes ends within a packet. The others do not tell."""
    if name == TRANSPORT and size % _packet_length(head):
        raise ValueError("truncated: it ends within a packet")


def _packet_length(head: bytes) -> int:
    """That of a transport stream's packets, with what stands before or after each; 0 where it is none."""
    for length, before in _PACKETS:
        marks = head[before::length]
        if len(marks) > 3 and set(marks) == {_MARK}:
            return length
    return 0
