"""The packets of a file's video stream: how many frames it lists, and from which of them a span can be decoded.

FFmpeg's own seeking is not used: it lands on wrong frames in open groups of pictures, in files without an index and
after edit lists. Packets are counted from the file's beginning instead, which costs little beside decoding them, and
those before a span are passed over.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from jobs.data.alive import beat
from jobs.data.containers import Container, mp4
from jobs.data.decoding.ffmpeg import opened
from jobs.data.decoding.pictures import Pictures


@dataclass(frozen=True)
class Span:
    """Packets to decode one after the other, and nothing before them."""

    packets: frozenset[int]
    last: int
    frames: frozenset[int]
    """What is wanted of them, by number."""


@dataclass
class Packets:
    """Those of a video stream that have content, in the order of decoding."""

    times: list[int | None] = field(default_factory=list)
    """When each is shown, in the stream's own units."""
    hidden: list[bool] = field(default_factory=list)
    """Whether the container says that it is decoded only."""
    entries: list[int] = field(default_factory=list)
    """Those that decoding can begin with as if it had begun with the first."""
    spare: list[bool] = field(default_factory=list)
    """Whether no other one needs it to be decoded."""
    samples: int = 0
    """How many the container lists, those included that an edit list leaves out; 0: it does not say."""
    reorders: bool = False
    """Whether the decoder expects pictures in another order than they are shown in."""

    @classmethod
    def of(cls, file: str, container: Container) -> "Packets":
        """Those of a file. Raises Unreadable."""
        packets = cls()
        with opened(file, container) as (content, stream):
            pictures = Pictures(container, stream.codec_context.extradata or b"")
            packets.samples = stream.frames if container.name == mp4.NAME else 0
            packets.reorders = stream.codec_context.has_b_frames
            for packet in content.demux(stream):
                beat()
                if packet.size:
                    entry, spare = pictures.look(packet)
                    if entry and packet.is_keyframe:
                        packets.entries.append(len(packets.times))
                    packets.spare.append(spare)
                    packets.times.append(packet.pts)
                    packets.hidden.append(packet.is_discard)
        return packets

    @property
    def listed(self) -> int:
        """Frames that the file lists."""
        return self.samples if self.samples > len(self.times) else len(self.times) - self._cut_off

    @property
    def shown(self) -> int:
        """Frames that the container means to be shown."""
        return self.hidden.count(False) - self._cut_off

    @property
    def _cut_off(self) -> int:
        """Pictures that are to be shown before the one that decoding begins with: of a stream that was cut out of
        another, where those that they refer to are not there."""
        first = self.times[0] if self.times and not self.samples else None
        return 0 if first is None else sum(time is not None and time < first for time in self.times)

    def numbers(self) -> dict[int, int]:
        """The number of the frame that is shown at each time; empty where times do not tell frames apart."""
        shown = [time for time, hidden in zip(self.times, self.hidden, strict=True) if not hidden]
        times = sorted(time for time in shown if time is not None)
        return {time: number for number, time in enumerate(times)} if len(set(times)) == len(shown) else {}

    def spans(self, wanted: Iterable[int]) -> list[Span]:
        """The packets that the frames `wanted` are decoded from; none where times do not tell which frame is which, or
        decoding cannot begin with the first packet."""
        time_of = {number: time for time, number in self.numbers().items()}
        if not time_of or self.entries[:1] != [0]:
            return []
        times = [time for time in self.times if time is not None]
        if self._cut_off or (self.reorders and times == sorted(times)):
            return []  # times of decoding stand in for those of showing
        packet_of = {time: index for index, time in enumerate(self.times)}
        groups: dict[int, set[int]] = {}
        for number in wanted:
            time = time_of[number]
            group = bisect_right(self.entries, packet_of[time]) - 1
            groups.setdefault(group, set()).add(number)
            # A picture shown before the one that its group begins with may need the group before.
            first = self.times[self.entries[group]]
            if group and (first is None or time < first):
                groups.setdefault(group - 1, set())
        runs: list[tuple[int, set[int]]] = []
        for group, numbers in sorted(groups.items()):
            if runs and group - 1 in groups:
                runs[-1][1].update(numbers)
            else:
                runs.append((self.entries[group], numbers))
        return [
            self._span(start, {packet_of[time_of[number]]: number for number in numbers}) for start, numbers in runs
        ]

    def _span(self, start: int, wanted: dict[int, int]) -> Span:
        """From the packet `start` to the last of those with the frames `wanted`, without spare ones."""
        last = max(wanted)
        packets = {index for index in range(start, last + 1) if index in wanted or not self.spare[index]}
        return Span(frozenset(packets), last, frozenset(wanted.values()))
