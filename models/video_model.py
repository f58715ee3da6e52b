"""What all models share: clips in, logits out, a reduction that can be switched, and what training asks for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.architecture import Architecture
from models.catalog import architecture
from models.reduction import Reduction, check, reduction_on
from models.stages import Observer, Stages
from models.weights_reader import state_dict


class VideoModel(nn.Module):
    """A video transformer with a token reduction that can be switched at any time; a family is a subclass.

    Its parameters may be converted, as by half(); clips must then have their dtype, and the logits do.
    """

    head: nn.Linear
    drop_path: float
    """Stochastic depth: the last block's probability of skipping a branch in training, in [0, 1); it rises linearly
    from 0 at the first (Huang et al., "Deep Networks with Stochastic Depth", 2016)."""
    activation_checkpointing: bool
    """Whether, in training, a block's activations are computed again in the backward pass instead of kept."""

    def __init__(self, arch: Architecture, num_classes: int) -> None:
        super().__init__()
        self.arch = self._whole = arch
        self.num_classes = num_classes
        self.drop_path = 0.0
        self.activation_checkpointing = False
        self._compiled: dict[Any, Callable[..., Any]] | None = None
        self._backend = ""
        self._checked: list[Reduction] = []
        """Those that have run, so that the values of what a user's decides are not looked at again."""
        self.set_reduction("none")

    def set_reduction(self, text: str) -> None:
        """Switch to the reduction that `text` names, as `sta:r=48` or `tome:gflops=308`; ValueError where it does not
        fit this model."""
        self.reduction: Reduction = reduction_on(text, self.arch)
        self._checked = [one for one in self._checked if one is not self.reduction]

    def set_frames(self, frames: int, slot: int = 0) -> None:
        """Take clips of `frames` frames, as a part of a whole clip that begins at its time slot `slot`.

        The architecture's own number restores whole clips. ValueError, leaving the model as it was, where such a clip
        is no part of a whole one or the present reduction cannot run on it.
        """
        whole = self._whole
        arch = replace(whole, frames=frames)
        if frames < whole.tubelet or frames % whole.tubelet or not 0 <= slot <= whole.slots - arch.slots:
            limits = f"multiples of {whole.tubelet} up to {whole.frames}, from slots that leave room for them"
            raise ValueError(f"a clip of {frames} frames from time slot {slot} on does not fit; valid: {limits}")
        check(self.reduction, arch)
        self.arch = arch

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """The layers of timm's `param_groups_layer_decay`: regular expressions that number the parameters' layers.
        coarse: part of timm's interface; each family has one division only."""
        raise NotImplementedError

    def no_weight_decay(self) -> set[str]:
        """Names of parameters of two or more dimensions that are not decayed in training."""
        return set()

    def fine_tuned(self, path: Path, stride: int | None) -> dict[str, Tensor]:
        """The weights at `path`, as they are published for a fine-tuned model, under the model's own names.

        stride: every how many frames of a video clips will take one; None: it does not matter. CheckpointError where
        nothing can be read, or it is known to be for another model or other clips; that all is there is checked after.
        """
        return state_dict(path)[0]

    def pre_trained(self, path: Path) -> dict[str, Tensor]:
        """The same of weights from which a training starts."""
        return self.fine_tuned(path, None)

    def forward(self, video: Tensor, branches: Tensor | None = None, observers: Sequence[Observer] = ()) -> Tensor:
        """Clips (B, 3, T, H, W), normalised → logits (B, num_classes).

        branches: (B, 2 · depth), uniform in [0, 1); in training, sample b skips branch j (0: attention, 1: MLP) of
        block i (from 0) where branches[b, 2i + j] is below that block's rate of `drop_path`. Given by the caller, so
        that a training does not depend on how its batch is divided. Not looked at where nothing can be skipped.
        observers: told what the pass does.
        """
        stages = self._begin(video, self.reduction, observers)
        logits = self.logits(video, stages, branches)
        self._end(stages)
        return logits

    def forward_all(
        self, video: Tensor, reductions: Sequence[str], observers: Sequence[Sequence[Observer]] = ()
    ) -> list[Tensor]:
        """The logits of clips under each of several reductions, the same bits as of a forward pass for each. What is
        the same in several passes, as the blocks before the first stage, runs once where the family can.

        observers: of each reduction those that are told what its pass does.
        """
        found = [reduction_on(text, self.arch) for text in reductions]
        passes = [self._begin(video, *pair) for pair in zip(found, observers or [()] * len(found), strict=True)]
        # A class that defines its logits anew does not share as the one that it is built on.
        newest = next(one for one in type(self).__mro__ if {"logits", "shared_logits"} & vars(one).keys())
        shares = "shared_logits" in vars(newest)
        logits = self.shared_logits(video, passes) if shares else self._one_by_one(video, passes)
        for stages in passes:
            self._end(stages)
        return logits

    def _begin(self, video: Tensor, reduction: Reduction, observers: Sequence[Observer]) -> Stages:
        arch = self.arch
        if tuple(video.shape[1:]) != (3, arch.frames, arch.image, arch.image):
            expected = f"(B, 3, {arch.frames}, {arch.image}, {arch.image})"
            raise ValueError(f"clips must have the shape {expected}, got {tuple(video.shape)}")
        unchecked = all(one is not reduction for one in self._checked)
        return Stages(reduction, arch, video, observers, unchecked and not video.is_meta)

    def _end(self, stages: Stages) -> None:
        reduction = stages.reduction
        if stages.ran != list(reduction.blocks(stages.arch)):
            due = ", ".join(map(str, reduction.blocks(stages.arch)))
            raise ValueError(f"{reduction} has stages at blocks {due} of this model, which did not run them")
        if stages.check:
            self._checked.append(reduction)

    def logits(self, video: Tensor, stages: Stages, branches: Tensor | None) -> Tensor:
        """What a family defines: clips, of the right shape, to logits, with `stages` where they are due.

        `stages.run` is called before the first block, and after the attention and at the end of each.
        """
        raise NotImplementedError

    def shared_logits(self, video: Tensor, passes: Sequence[Stages]) -> list[Tensor]:
        """What a family may define: the logits of several passes of the same clips, with what they share run once, as
        models/vit.py does. Unless it does, each runs alone."""
        return self._one_by_one(video, passes)

    def _one_by_one(self, video: Tensor, passes: Sequence[Stages]) -> list[Tensor]:
        own, logits = self.reduction, []
        try:
            for stages in passes:
                self.reduction = stages.reduction
                logits.append(self.logits(video, stages, None))
        finally:
            self.reduction = own
        return logits

    def run(self, layers: Callable[..., Any], *given: Any, packed: bool = False) -> Any:
        """Call a block, whose activations may be recomputed in the backward pass. packed: its clips are of different
        lengths, and new ones in each batch, for which compiled code would be made anew."""
        if self._compiled is not None and not packed:
            if layers not in self._compiled:
                self._compiled[layers] = torch.compile(layers, dynamic=True, backend=self._backend)
            layers = self._compiled[layers]
        if self.training and self.activation_checkpointing:
            # No random numbers are drawn in a block, so none need be drawn again.
            return checkpoint(layers, *given, use_reentrant=False, preserve_rng_state=False)
        return layers(*given)

    def compile_blocks(self, backend: str = "inductor") -> None:
        """Have each block go through torch.compile, which makes code once for all of them and any number of tokens."""
        self._compiled, self._backend = {}, backend

    @contextmanager
    def uncompiled(self) -> Iterator[None]:
        """While open, blocks run as they are written."""
        compiled, self._compiled = self._compiled, None
        try:
            yield
        finally:
            self._compiled = compiled

    def factors(self, x: Tensor, branches: Tensor | None) -> Sequence[Tensor | None]:
        """What each block multiplies its branches by, (B, 2): 0, or what keeps their expected value; None: nothing."""
        depth = self.arch.depth
        if not self.training or not self.drop_path:
            return [None] * depth
        if branches is None or branches.shape != (len(x), 2 * depth):
            given = "none" if branches is None else tuple(branches.shape)
            raise ValueError(f"stochastic depth needs branches of the shape {(len(x), 2 * depth)}, got {given}")
        rates = torch.linspace(0, self.drop_path, depth, device=branches.device)[:, None, None]
        numbers = branches.unflatten(1, (depth, 2)).transpose(0, 1)
        return ((numbers >= rates) / (1 - rates)).to(x.dtype).unbind()


def initialise(module: nn.Module) -> None:
    """Xavier's rule all through, a convolution's kernels seen as a matrix, and no biases (MAE, section A.1).

    A fixed deviation, as VideoMAE's 0.02 for fine-tuning, suits large widths only and starves a narrow model of signal.
    """
    if isinstance(module, nn.Linear | nn.Conv3d):
        with torch.no_grad():
            nn.init.xavier_uniform_(module.weight.flatten(1))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def create_model(name: str, reduction: str = "none", num_classes: int | None = None) -> VideoModel:
    """The model called `name`, randomly initialised, in float32.

    reduction: as `sta:r=48`; `model.set_reduction` switches it later. num_classes: the architecture's own unless given.
    ValueError where a name or a setting is not valid.
    """
    arch = architecture(name)
    reduction_on(reduction, arch)
    model = arch.network(num_classes or arch.num_classes)
    model.set_reduction(reduction)
    return model
