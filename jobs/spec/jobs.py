"""What can be asked of a job: frozen dataclasses with stable ids. Imports nothing heavy.

A job answers one or more cells. A record's id is made of its cell and of every setting that can change the value, so
that the planner can find out without running anything whether a value is already there. A job's id is made of its
record ids, so that the same work asked for again finds the folder of the first attempt.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

from jobs.spec.cells import Cell, code_of
from jobs.spec.identity import digest, identity, inputs
from jobs.spec.kernels import TORCHS, Kernels
from jobs.spec.recipe import Recipe
from jobs.spec.sources import NO_WEIGHTS, shown_videos
from jobs.spec.sources import Checkpoint as Checkpoint
from jobs.spec.sources import Dataset as Dataset

PRECISIONS = ("fp32", "fp16", "bf16")
END_TO_END = "clips_per_s_e2e"
"""The timing in which reading and decoding count."""
MOST_CLIPS = 512
"""Real clips that a timing takes forward, unless a batch is larger; it then begins anew."""
WARM_UP_MIN, WARM_UP_MAX = 10, 50  # the reference code's is 50
"""Warm-up iterations of a timing."""


@dataclass(frozen=True)
class Job:
    """What every kind of job has. Subclasses say which settings enter a record's identity."""

    kind: ClassVar[str]
    exclusive: ClassVar[bool] = False
    """Whether it must have its machine to itself, as every timing must."""

    cells: tuple[Cell, ...]

    def settings(self, cell: Cell) -> dict[str, Any]:
        """Everything beside the cell that can change its value, and where its inputs were found."""
        raise NotImplementedError

    def record_id(self, cell: Cell) -> str:
        """Of the cell's record: the same for the same inputs, wherever their files are."""
        return identity(vars(cell), self.settings(cell))

    @cached_property
    def id(self) -> str:
        return digest({"kind": self.kind, "records": sorted(self.record_id(cell) for cell in self.cells)})


@dataclass(frozen=True)
class Evaluate(Job):
    """Accuracy of one model on one dataset: every reduction and view grid of `cells` in one pass over the videos."""

    kind: ClassVar[str] = "evaluate"

    model: str
    checkpoint: Checkpoint
    dataset: Dataset
    precision: str
    limit: int
    """Only the first N videos; 0: all."""
    batch_size: int
    """Clips in a forward pass."""
    block: int
    """Videos that are finished and saved together; a killed task repeats one block at most."""
    decoders: int
    """Decoder processes a task."""
    decode_timeout_s: float
    """Seconds without a new frame after which a video counts as unreadable."""
    tolerance: float
    """Share of unreadable videos above which the job fails."""
    threads: int
    """CPU threads a task."""
    kernels: Kernels = TORCHS

    def settings(self, cell: Cell) -> dict[str, Any]:
        return {
            **code_of(cell.model, cell.reduction, cell.metric),
            "checkpoint": asdict(self.checkpoint),
            "dataset": asdict(self.dataset),
            "precision": self.precision,
            "limit": self.limit,
            **self.kernels.settings(),
        }

    def requests(self) -> dict[str, tuple[str, ...]]:
        """For each reduction the view grids that some cell needs."""
        grids: dict[str, dict[str, None]] = {}
        for cell in self.cells:
            grids.setdefault(cell.reduction, {})[cell.views] = None
        return {reduction: tuple(views) for reduction, views in grids.items()}


@dataclass(frozen=True)
class Count(Job):
    """GFLOPs of any number of models and reductions; needs neither weights nor videos."""

    kind: ClassVar[str] = "count"

    counter: str
    """`meta` (torch's counter, no weights) or `fvcore` (on real tensors)."""

    def settings(self, cell: Cell) -> dict[str, Any]:
        return {**code_of(cell.model, cell.reduction, cell.metric), "counter": self.counter}


@dataclass(frozen=True)
class Measure(Job):
    """Throughput, latency and memory of one model under one reduction; `clips_per_s_e2e` is a job of its own."""

    kind: ClassVar[str] = "measure"
    exclusive: ClassVar[bool] = True

    precision: str
    batch_size: int
    """Clips in a forward pass."""
    samples: int
    """Timed samples after the warm-up."""
    threads: int
    """CPU threads."""
    gpus: int
    """GPUs it must run on: 0 or 1."""
    dataset: Dataset | None = None
    """The videos that it reads: end to end, or because what their clips show counts."""
    checkpoint: Checkpoint = NO_WEIGHTS
    """Weights, where what a reduction does hangs on them; else they are random."""
    block: int = 1
    """Videos that make one timed sample of an end-to-end measurement."""
    decoders: int = 1
    decode_timeout_s: float = 60.0
    tolerance: float = 0.0
    kernels: Kernels = TORCHS

    def settings(self, cell: Cell) -> dict[str, Any]:
        settings: dict[str, Any] = {
            **code_of(cell.model, cell.reduction, cell.metric),
            "precision": self.precision,
            "batch_size": self.batch_of(cell.metric),
            "samples": self.samples,
            "threads": self.threads,
            "gpus": self.gpus,
            **self.kernels.settings(),
        }
        if self.dataset:
            settings |= {"dataset": asdict(self.dataset)}
            if cell.metric != END_TO_END:
                settings |= {"clips": self.clips}
        if cell.metric == END_TO_END:
            settings |= {"block": self.block, "decoders": self.decoders}
        if self.checkpoint.path:
            settings |= {"checkpoint": asdict(self.checkpoint)}
        return settings

    @property
    def end_to_end(self) -> bool:
        """Whether reading and decoding count; such a cell shares its job with none."""
        found = END_TO_END in (cell.metric for cell in self.cells)
        assert not found or len(self.cells) == 1
        return found

    @property
    def clips(self) -> int:
        """Clips of the dataset that are taken where their content counts, at most."""
        return min(max(MOST_CLIPS, self.batch_size), self.samples * self.batch_size)

    def batch_of(self, metric: str) -> int:
        """Clips in a forward pass that answers `metric`."""
        return 1 if metric == "latency_ms" else self.batch_size

    def evaluation(self) -> Evaluate:
        """What an end-to-end measurement times, and whose clips one takes whose content counts: an evaluation."""
        assert self.dataset
        return Evaluate(
            cells=self.cells[:1],
            model=self.cells[0].model,
            checkpoint=self.checkpoint,
            dataset=self.dataset,
            precision=self.precision,
            limit=0,
            batch_size=self.batch_size,
            block=self.block,
            decoders=self.decoders,
            decode_timeout_s=self.decode_timeout_s,
            tolerance=self.tolerance,
            threads=self.threads,
            kernels=self.kernels,
        )


@dataclass(frozen=True)
class Train(Job):
    """One model trained from one start under one reduction by a gang of processes, and evaluated at the end.

    Its id does not depend on which of the metrics are asked for: none of them is worth a second training.
    """

    kind: ClassVar[str] = "train"
    exclusive: ClassVar[bool] = True

    model: str
    reduction: str
    start: Checkpoint | None
    """Pre-trained weights; None: from scratch."""
    new: tuple[str, ...]
    """Names, or their beginnings up to a dot, of the model's parameters that the start need not have."""
    unused: tuple[str, ...]
    """The same of the start's parameters that the model has no use for."""
    dataset: Dataset
    """The training videos."""
    recipe: Recipe
    nodes: int
    tasks_per_node: int
    """Processes on each node, one a GPU."""
    gpus: int
    """GPUs of each process: 0 or 1."""
    micro_batch: int
    """Videos in a forward and backward pass of one process."""
    zero_stage: int
    """What ZeRO splits among the processes: 0 nothing, 1 the optimiser's state, 2 gradients too, 3 weights too."""
    activation_checkpointing: bool
    """Whether a block's activations are computed again in the backward pass instead of kept."""
    compile: bool
    """Whether torch.compile is used."""
    measure_steps: int
    """Steps of each phase that are trained, to project the hours of the whole recipe; 0: the whole training."""
    decoders: int
    """Decoder processes a training process."""
    decode_timeout_s: float
    """Seconds without a new frame after which a video counts as unreadable."""
    tolerance: float
    """Share of unreadable training videos above which the job fails."""
    threads: int
    """CPU threads of a training process."""
    evaluate: Evaluate
    """How the trained model is evaluated; its cells and its checkpoint are filled in at the end."""

    @property
    def processes(self) -> int:
        return self.nodes * self.tasks_per_node

    def settings(self, cell: Cell) -> dict[str, Any]:
        settings = self._training()
        if cell.metric == "top1_trained":
            settings["evaluate"] = self.evaluate.settings(cell)
            for name in ("checkpoint", "method", "plugin"):
                settings["evaluate"].pop(name, None)
        return settings

    @cached_property
    def id(self) -> str:
        training = inputs(self._training(), "")
        return digest({"kind": self.kind, "model": self.model, "reduction": self.reduction} | training)

    def _training(self) -> dict[str, Any]:
        names = (
            "new", "unused", "nodes", "tasks_per_node", "gpus", "micro_batch", "zero_stage", "activation_checkpointing",
            "compile", "measure_steps", "decoders", "threads",
        )  # fmt: skip
        return {
            **code_of(self.model, self.reduction),
            "start": asdict(self.start) if self.start else "scratch",
            "dataset": asdict(self.dataset),
            "recipe": asdict(self.recipe),
            **{name: getattr(self, name) for name in names},
        }


@dataclass(frozen=True)
class Visualize(Job):
    """Pictures of the tokens that a model keeps stage by stage, on the central view of some videos."""

    kind: ClassVar[str] = "visualize"

    model: str
    checkpoint: Checkpoint
    dataset: Dataset
    """Whose classes and clips they are; where `video` is given, without a label file."""
    video: str
    """The path of the one video that is shown; empty: some of the dataset's are."""
    video_sha256: str
    """Of its content."""
    videos: int
    """How many of the dataset's videos are shown, evenly spread over its label file."""
    precision: str
    decode_timeout_s: float
    """Seconds without a new frame after which a video counts as unreadable."""
    threads: int
    """CPU threads."""

    def settings(self, cell: Cell) -> dict[str, Any]:
        return {
            **code_of(cell.model, cell.reduction, cell.metric),
            "checkpoint": asdict(self.checkpoint),
            "dataset": asdict(self.dataset),
            "precision": self.precision,
            "videos": shown_videos(self.video, self.videos),
            "video_sha256": self.video_sha256,
        }
