"""Where the tokens of a forward pass went: its stages as seen from outside."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.architecture import Architecture
from models.reduction import Reduction
from models.reduction._base import Place
from models.stages import Event, Observer
from models.video_model import VideoModel


@dataclass(frozen=True)
class Stage:
    """One stage of a reduction. Places are those of a clip before anything is dropped, slot by slot and row by row:
    p = slot · patches + patch, P of them; where tokens stay on a grid, those of the grid that the stage found."""

    block: int
    """The block, counted from 1, at which it ran."""
    place: Place
    """Where in it: before, between attention and MLP, or after."""
    span: int
    """Patches across one place: 1, or on a grid what has been merged into it since."""
    slots: int
    """The time slots that it found, those of the clip joined in pairs by each stage before; 1 where a method knows of
    none."""
    before: Tensor
    """(B, P) of each place the token of the sequence found that holds it; −1 where nothing was left of it."""
    after: Tensor
    """(B, P) the same of the sequence that the stage left."""
    sizes: list[Tensor | None]
    """Of each clip (M,), what the tokens weigh that were left; None where none was merged so far."""
    maps: dict[str, Tensor]
    """What the choice rested on, by name: (B, P), the value of the token that holds a place; nan without one."""

    def seen(self, clip: int = 0) -> Tensor:
        """The places whose tokens it found, in their order; of merged tokens all, group by group."""
        return _places(self.before[clip])

    def kept(self, clip: int = 0) -> Tensor:
        """The places whose tokens it left, in their new order; of merged tokens all, group by group."""
        return _places(self.after[clip])

    def count(self, clip: int = 0) -> int:
        """How many tokens it left."""
        return int(self.after[clip].max()) + 1


class Trace(Observer):
    """Follows the tokens of a forward pass of so many clips under `reduction` through a model of this architecture."""

    maps = True

    def __init__(self, reduction: Reduction, arch: Architecture, clips: int) -> None:
        self.reduction, self.arch, self.clips = reduction, arch, clips
        self.events: list[Event] = []

    def stage(self, event: Event) -> None:
        self.events.append(event)

    def held(self) -> Tensor:
        """(B, P) of each place the token left at the end that holds it, −1 where nothing is left of it; the places are
        those of a clip, and on a grid those of the last level's."""
        stages, last = self.stages(), self.arch.level_of(self.arch.depth)
        if stages and self.arch.level_of(stages[-1].block) == last:
            return stages[-1].after
        return self._whole(self.arch.depth)

    def stages(self) -> list[Stage]:
        """What the stages did."""
        arch = self.arch
        held = self._whole(1)
        sizes: list[Tensor | None] = [None] * self.clips
        stages = []
        for number in sorted({event.stage for event in self.events}):
            own = [event for event in self.events if event.stage == number]
            block = own[0].block
            if arch.on_grid:
                held = self._whole(block)
            before, maps = held.clone(), {name: torch.full(held.shape, torch.nan) for name in own[0].maps}
            for event in own:
                rows = slice(event.clip, event.clip + len(event.moves))
                held[rows] = _follow(before[rows], event.moves.cpu(), -1)
                sizes[rows] = event.sizes
                for name, values in event.maps.items():
                    maps[name][rows] = _follow(before[rows], values.float().cpu(), torch.nan)
            slots, place = self.reduction.slots(number, arch), self.reduction.placed(arch)
            span = 2 ** (arch.level_of(block) - 1)
            stages.append(Stage(block, place, span, slots, before, held.clone(), list(sizes), maps))
        return stages

    def _whole(self, block: int) -> Tensor:
        """(B, P) where each place that a block finds with nothing dropped holds its own token."""
        first = max(start for start in self.arch.starts if start <= block)
        return torch.arange(self.arch.starts[first]).repeat(self.clips, 1)


def trace(model: VideoModel, video: Tensor) -> tuple[Tensor, list[Stage]]:
    """One forward pass of clips (B, 3, T, H, W): its logits (B, classes), and the stages that ran in it.

    Nothing is chosen for the sake of the trace: each token carries its place along through the model's own choices.
    """
    seen = Trace(model.reduction, model.arch, len(video))
    logits = model(video, observers=(seen,))
    return logits, seen.stages()


def _follow(held: Tensor, values: Tensor, without: float) -> Tensor:
    """(B, P) of each place the value (B, N) of the token that holds it."""
    return torch.where(held < 0, without, values.gather(1, held.clamp_min(0)))


def _places(held: Tensor) -> Tensor:
    order = held.argsort(stable=True)
    return order[(held < 0).sum() :]
