"""The sections of a profile: every key that one may have, what it means and what it is unless set."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from jobs.spec.recipe import Recipe

SCRATCH = "scratch"
"""What stands for the weights of a training that begins with none."""
FAMILY = "family"
"""What stands for the parameters that a model's family starts afresh, or leaves unused."""


@dataclass(frozen=True)
class Launch:
    """How jobs are started, and what each of their tasks gets."""

    executor: str = "local"
    """`local`: processes on this machine; `slurm`: sbatch through submitit."""
    tasks: int = 0
    """Tasks that an evaluation is split into; 0: as many as run here at a time, one a core (local only)."""
    cpus_per_task: int = 1
    """CPU cores a task, decoder processes included."""
    gpus_per_task: int = 0
    """GPUs a task: 0 or 1."""
    gpu_type: str = ""
    """The type of GPU asked for, as `v100`, where the cluster's have types (slurm)."""
    gpu_flag: str = "gpus-per-node"
    """How GPUs are asked for: `gpus-per-node`, or `gres` where a cluster knows no other way (slurm)."""
    mem_gb: int = 0
    """Memory a task, in GB; 0: the cluster's default (slurm)."""
    time_min: int = 1440
    """Time limit of a task, in minutes."""
    parallel: int = 0
    """Array tasks that run at the same time; 0: as many as the cluster grants (slurm)."""
    partition: str = ""
    """Partition (slurm); empty: the cluster's default, as for the next four."""
    account: str = ""
    """Account (slurm)."""
    qos: str = ""
    """Quality of service (slurm)."""
    constraint: str = ""
    """Node features asked for (slurm)."""
    exclude: str = ""
    """Nodes to leave out (slurm)."""
    count_here: bool = True
    """Whether GFLOPs are counted on the machine that submits, which takes seconds, no GPU and no weights; false: by
    tasks of the cluster, which asks the same of them as of all others (slurm)."""
    setup: tuple[str, ...] = ()
    """Shell lines run before the job's, as `module load …`."""
    extra: dict[str, str] = field(default_factory=dict)
    """Further options of sbatch, as `reservation = "deadline"` (slurm)."""
    retries: int = 2
    """How often a task that crashed, ran out of memory or lost its node is started again."""
    timeouts: int = 3
    """How often a task that reached its time limit is started again; a preempted one always is."""
    gpu_arch: str = ""
    """Compute capability of the GPUs that tasks run on, as sm_70: that the installed PyTorch has code for it is checked
    before anything is submitted. Empty: what nvidia-smi says here (local), or no check (slurm)."""


@dataclass(frozen=True)
class Evaluate:
    """How accuracies are measured."""

    precision: str = "fp32"
    """fp32, fp16 or bf16 (mixed precision)."""
    compile: bool = False
    """Whether the model's blocks go through torch.compile, for any number of tokens."""
    attention: str = "auto"
    """The kernel of attention: auto (torch chooses), flash, efficient, cudnn or math."""
    batch_size: int = 32
    """Clips in a forward pass."""
    block: int = 16
    """Videos that are finished and saved together; a killed task repeats one block at most."""
    decoders: int = 1
    """Decoder processes a task."""
    decode_timeout_s: float = 60.0
    """Seconds without a new frame after which a video counts as unreadable."""
    tolerance: float = 0.01
    """Share of unreadable videos, 0 to 1, above which a job fails."""


@dataclass(frozen=True)
class Measure:
    """How throughput is measured."""

    precision: str = "fp16"
    """fp32, fp16 or bf16 (mixed precision)."""
    compile: bool = False
    """Whether the model's blocks go through torch.compile, for any number of tokens."""
    attention: str = "auto"
    """The kernel of attention: auto (torch chooses), flash, efficient, cudnn or math."""
    batch_size: int = 32
    """Clips in a forward pass."""
    samples: int = 30
    """Timed samples after the warm-up; end to end, blocks of videos, at most as many as the set has."""
    counter: str = "meta"
    """What counts GFLOPs: `meta` (torch's counter, no weights) or `fvcore` (on real tensors, slower)."""


@dataclass(frozen=True)
class Train(Recipe):
    """How models are trained: the recipe, and how it is run."""

    nodes: int = 1
    """Nodes of a training; one with executor local."""
    tasks_per_node: int = 0
    """Processes on each node, one a GPU; 0: as many as run here at a time and divide the batch (local only)."""
    micro_batch: int = 4
    """Videos in a forward and backward pass of one process; gradients are added up until they are a batch."""
    zero_stage: int = 0
    """What DeepSpeed's ZeRO splits among the processes: 0 nothing, 1 the optimiser's state, 2 gradients too, 3 weights
    too."""
    activation_checkpointing: bool = False
    """Whether activations are computed again in the backward pass rather than kept: slower, in less memory."""
    compile: bool = False
    """Whether torch.compile is used."""
    measure_steps: int = 0
    """Train only this many steps of each phase, and project the hours of the whole recipe; 0: the whole training."""
    decoders: int = 1
    """Decoder processes a training process."""
    decode_timeout_s: float = 60.0
    """Seconds without a new frame after which a video counts as unreadable."""
    tolerance: float = 0.01
    """Share of unreadable training videos, 0 to 1, above which a job fails."""
    new: tuple[str, ...] = ("family",)
    """Parameters of the model that pre-trained weights need not have; names, or their beginnings up to a dot. `family`
    stands for those of the model's family: fc_norm and head of a ViT, head of a Video Swin."""
    unused: tuple[str, ...] = ("family",)
    """Parameters of pre-trained weights, without their prefix `encoder.`, that the model has no use for. `family`
    stands, for a ViT, for those of VideoMAE's decoder and the encoder's last norm, which its fine-tuning on the mean of
    all tokens drops."""

    def names(self, listed: Sequence[str], of_family: Sequence[str]) -> tuple[str, ...]:
        """`new` or `unused`, with those of a family in place of the word."""
        return tuple(one for name in listed for one in (of_family if name == FAMILY else (name,)))

    def recipe(self, mirror: bool, seed: int | None = None) -> Recipe:
        """What decides how a training ends; clips are mirrored only where that keeps their label (`mirror`). A `seed`
        stands in place of one's own."""
        values = {one.name: getattr(self, one.name) for one in fields(Recipe)}
        values |= {} if seed is None else {"seed": seed}
        return Recipe(**(values if mirror else values | {"flip": 0.0}))


@dataclass(frozen=True)
class Figures:
    """What figures show."""

    videos: int = 3
    """How many videos of a dataset, evenly spread over its label file."""


@dataclass(frozen=True)
class Dataset:
    """A list of labelled videos."""

    labels: str
    """Label file of the test split: `<path> <label>` a line, or another kind of list, see "Lists"."""
    root: str
    """Folder to which relative paths in it belong."""
    num_classes: int
    sampling: str
    """`kinetics` (dense) or `ssv2` (segments)."""
    stride: int = 0
    """Every how many frames one is taken (dense sampling only); 0: as each model's published weights were tested, 4 of
    a ViT and 2 of a Video Swin."""
    weights_stride: int = 0
    """Every how many frames the weights were trained on one, where clips are meant to be taken otherwise; 0: weights
    whose file names another stride than that of the clips are refused."""
    classes: str = ""
    """File of the classes' names, a line each in the order of their numbers, where lists give names or folders; or
    Something-Something V2's labels JSON, UCF101's classInd.txt."""
    train_labels: str = ""
    """Label file of the training split; only trainings need it."""
    videos: int = 0
    """How many videos the test split has; only a dry run where its label file is not asks for it. 0: not known."""
    train_videos: int = 0
    """The same of the training split."""
    mirror: bool = True
    """Whether a mirrored video keeps its label; where it does not, train.flip counts as 0."""
    prepare: str = ""
    """Module that makes what is missing of the data and keeps the rest, run as `python -m MODULE ROOT --split val` by
    every sweep; with `--split train` too where a training needs it. What it leaves beside a label file, with `.edition`
    for its `.txt`, is what the videos are; with a space in it, they are not as they should be, and tables say so."""


@dataclass(frozen=True)
class StandIn:
    """What takes the place of the paper's models and data where those are out of reach."""

    models: dict[str, str] = field(default_factory=dict)
    """Paper's model → the model run instead. GFLOPs are always the paper's model's."""
    datasets: dict[str, str] = field(default_factory=dict)
    """Paper's dataset → the one evaluated instead; TABLE/DATASET for one table alone."""


@dataclass(frozen=True)
class Rates:
    """How fast jobs go, for a dry run to project their hours from; what was measured in the runs folder goes before."""

    clips_per_s: dict[str, float] = field(default_factory=dict)
    """`MODEL`, without a reduction, or `MODEL/REDUCTION` → clips that a task takes forward in a second on its GPU, or
    without one on its CPU threads. Other reductions of the model are scaled from the nearest by GFLOPs."""
    train_clips_per_s: dict[str, float] = field(default_factory=dict)
    """The same of one process of a training, all of a step counted; every augmented copy of a video is a clip."""
    decode_videos_per_s: float = 0.0
    """Test videos that one decoder process reads in a second; 0: not known."""
    load_videos_per_s: float = 0.0
    """Training videos that one decoder process reads and augments in a second, all copies; 0: not known."""


@dataclass(frozen=True)
class Plugins:
    """Methods, models and metrics of one's own."""

    paths: tuple[str, ...] = ()
    """Python files, or folders of them, that register methods, models or metrics; --plugin adds to these."""


@dataclass(frozen=True)
class Profile:
    """Everything that says where and how to run."""

    name: str
    datasets: dict[str, Dataset]
    checkpoints: dict[str, str]
    """`MODEL/DATASET` → weights (VideoMAE .pth, safetensors, or a Hugging Face folder)."""
    pretrained: dict[str, str] = field(default_factory=dict)
    """`MODEL/DATASET` → what a training begins with: weights in one of the same formats, or `scratch`."""
    launch: Launch = field(default_factory=Launch)
    evaluate: Evaluate = field(default_factory=Evaluate)
    measure: Measure = field(default_factory=Measure)
    train: Train = field(default_factory=Train)
    figures: Figures = field(default_factory=Figures)
    stand_in: StandIn = field(default_factory=StandIn)
    rates: Rates = field(default_factory=Rates)
    plugins: Plugins = field(default_factory=Plugins)
    video: str = ""
    """A video file that figures show in place of their dataset's; a relative path belongs to the working folder."""
    folder: str = "."
    """Where relative paths start; set from the file's own place."""
