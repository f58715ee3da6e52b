"""Jobs from cells, by a profile's settings and its files as they are now."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from harness.planning.lanes import lanes
from harness.profiles import SCRATCH, Dataset, Profile, resolve, shown_video
from jobs.data.lists import count
from jobs.spec import jobs
from jobs.spec.blocks import split
from jobs.spec.cells import Cell, by_content, check_content, check_short_clips, check_views, job_kind, stride_of
from jobs.spec.jobs import Checkpoint, Count, Evaluate, Job, Measure, Train, Visualize
from jobs.spec.kernels import Kernels
from jobs.spec.sources import NO_WEIGHTS, edition_of
from models.catalog import architecture
from models.weights_files import weights_files
from results.digests import content_sha256


class Planner:
    """Makes jobs of cells with the settings of one profile, as its files are now.

    elsewhere: the files may be on another machine. Jobs are then made without them, which only look like those that
    will run there, and `missing` says what is not here.
    """

    def __init__(self, profile: Profile, runs: Path, limit: int = 0, elsewhere: bool = False) -> None:
        self.profile = profile
        self.runs = runs
        self.limit = limit
        self.elsewhere = elsewhere
        self.missing: list[str] = []
        self.dataset = cache(self._dataset)
        self.checkpoint = cache(self._checkpoint)
        self.start = cache(self._start)
        self.video_digest = cache(self._video_digest)
        self.videos: dict[str, int] = {}
        """Videos listed, by dataset, and by `DATASET train` for its training split."""

    def job(self, cells: Iterable[Cell], seed: int | None = None) -> Job:
        """One job that answers `cells`, which must share their group; a training with the profile's seed, or `seed`."""
        ordered = tuple(sorted(cells, key=lambda cell: (cell.reduction, len(cell.views), cell.views, cell.metric)))
        first, evaluate, measure = ordered[0], self.profile.evaluate, self.profile.measure
        kind = job_kind(first)
        for cell in ordered:
            check_content(cell)
            if cell.views:
                check_views(cell, self._declared(cell.dataset).sampling)
        if kind == "count":
            return Count(ordered, measure.counter)
        if kind == "train":
            return self._train(ordered, seed)
        if kind == "evaluate":
            dataset = self.dataset(first.dataset, first.model)
            return self._evaluate(ordered, first.model, dataset, self.checkpoint(first.model, first.dataset))
        if kind == "visualize":
            return self._visualize(ordered, first.model, first.dataset)
        return Measure(
            cells=ordered,
            precision=measure.precision,
            batch_size=measure.batch_size,
            samples=measure.samples,
            threads=self._threads(evaluate.decoders),
            gpus=self.profile.launch.gpus_per_task,
            dataset=self.dataset(first.dataset, first.model) if first.dataset else None,
            checkpoint=self._weights_that_count(first),
            block=evaluate.block,
            decoders=evaluate.decoders,
            decode_timeout_s=evaluate.decode_timeout_s,
            tolerance=evaluate.tolerance,
            kernels=Kernels(measure.compile, measure.attention),
        )

    def _weights_that_count(self, cell: Cell) -> Checkpoint:
        """The weights of a timing, where how many tokens a clip keeps may hang on them."""
        return self.checkpoint(cell.model, cell.dataset) if by_content(cell.metric, cell.reduction) else NO_WEIGHTS

    def tasks(self, job: Job) -> int:
        """How many tasks share `job`: never more than it has blocks, where its videos are listed already."""
        if isinstance(job, Train):
            return job.processes
        if not isinstance(job, Evaluate):
            return 1
        tasks = self.profile.launch.tasks or lanes(self.profile.launch)
        videos = self.videos[job.dataset.name]
        blocks = len(split(min(videos, self.limit or videos), job.block))
        return min(tasks, blocks) if videos else tasks

    def _evaluate(self, cells: tuple[Cell, ...], model: str, dataset: jobs.Dataset, checkpoint: Checkpoint) -> Evaluate:
        evaluate = self.profile.evaluate
        return Evaluate(
            cells=cells,
            model=model,
            checkpoint=checkpoint,
            dataset=dataset,
            precision=evaluate.precision,
            # The first 64 of 64 are all: the same videos must not have two identities.
            limit=0 if 0 < self.videos[dataset.name] <= self.limit else self.limit,
            batch_size=evaluate.batch_size,
            block=evaluate.block,
            decoders=evaluate.decoders,
            decode_timeout_s=evaluate.decode_timeout_s,
            tolerance=evaluate.tolerance,
            threads=self._threads(evaluate.decoders),
            kernels=Kernels(evaluate.compile, evaluate.attention),
        )

    def _train(self, cells: tuple[Cell, ...], seed: int | None) -> Train:
        of, train = cells[0], self.profile.train
        arch = architecture(of.model)
        # Which weights are evaluated is known when they are trained.
        evaluate = self._evaluate((), of.model, self.dataset(of.dataset, of.model), NO_WEIGHTS)
        dataset = self.dataset(of.dataset, of.model, "train")
        recipe = train.recipe(self.profile.datasets[of.dataset].mirror, seed)
        if 0 < (videos := self.videos[f"{of.dataset} train"]) < recipe.batch:
            raise ValueError(f"{dataset.labels} lists {videos} videos, fewer than train.batch, {recipe.batch}")
        if recipe.short_epochs:
            try:
                check_short_clips(of.reduction, of.model, recipe.short_frames)
            except ValueError as error:
                raise ValueError(f"train.short_frames asks for {error}") from None
        if recipe.precision == "fp16" and not self.profile.launch.gpus_per_task:
            wrong = "train.precision is fp16, which DeepSpeed has on GPUs only; on a CPU take fp32"
            raise ValueError(f"profile {self.profile.name}: {wrong}")
        return Train(
            cells=cells,
            model=of.model,
            reduction=of.reduction,
            start=self.start(of.model, of.dataset),
            new=train.names(train.new, arch.new),
            unused=train.names(train.unused, arch.unused),
            dataset=dataset,
            recipe=recipe,
            nodes=train.nodes,
            tasks_per_node=self._tasks_per_node(),
            gpus=self.profile.launch.gpus_per_task,
            micro_batch=train.micro_batch,
            zero_stage=train.zero_stage,
            activation_checkpointing=train.activation_checkpointing,
            compile=train.compile,
            measure_steps=train.measure_steps,
            decoders=train.decoders,
            decode_timeout_s=train.decode_timeout_s,
            tolerance=train.tolerance,
            threads=self._threads(train.decoders),
            evaluate=evaluate,
        )

    def _visualize(self, cells: tuple[Cell, ...], model: str, dataset: str) -> Visualize:
        profile, video = self.profile, shown_video(self.profile)
        return Visualize(
            cells=cells,
            model=model,
            checkpoint=self.checkpoint(model, dataset),
            # The video that is given needs no others beside it.
            dataset=self._described(dataset, model) if video else self.dataset(dataset, model),
            video=video,
            video_sha256=self.video_digest() if video else "",
            videos=profile.figures.videos,
            precision=profile.evaluate.precision,
            decode_timeout_s=profile.evaluate.decode_timeout_s,
            threads=self._threads(1),
        )

    def _video_digest(self) -> str:
        video = shown_video(self.profile)
        try:
            return content_sha256([Path(video)], self.runs)
        except OSError as error:
            self._miss(f"cannot read the video {video}: {error.strerror}")
            return ""

    def _threads(self, decoders: int) -> int:
        return max(1, self.profile.launch.cpus_per_task - decoders)

    def _tasks_per_node(self) -> int:
        """Processes of a training on each node; where that is left to us, as many as run here and divide the batch."""
        train, launch = self.profile.train, self.profile.launch
        local = launch.executor == "local"
        wrong = ""
        if local and train.nodes > 1:
            wrong = f"train.nodes must be 1 with executor local, not {train.nodes}"
        elif not local and not train.tasks_per_node:
            wrong = "train.tasks_per_node must be at least 1 with executor slurm"
        elif local and launch.gpus_per_task and train.tasks_per_node > lanes(launch):
            wrong = f"train.tasks_per_node is {train.tasks_per_node}, and {lanes(launch)} with a GPU each run here"
        if wrong:
            raise ValueError(f"profile {self.profile.name}: {wrong}")
        if train.tasks_per_node:
            return train.tasks_per_node
        return max(n for n in range(1, lanes(launch) + 1) if train.batch % (n * train.micro_batch) == 0)

    def _declared(self, name: str) -> Dataset:
        if name not in self.profile.datasets:
            valid = ", ".join(self.profile.datasets) or "none"
            raise ValueError(f"profile {self.profile.name} has no dataset {name!r}; its datasets: {valid}")
        return self.profile.datasets[name]

    def _dataset(self, name: str, model: str, split: str = "test") -> jobs.Dataset:
        declared = self._declared(name)
        if split == "train" and not declared.train_labels:
            wanted = f"datasets.{name}.train_labels; set it to the label file of the training split"
            raise ValueError(f"profile {self.profile.name} has no {wanted}")
        labels = self._path(declared.train_labels if split == "train" else declared.labels)
        content = b""
        try:
            content = labels.read_bytes()
        except OSError as error:
            if not declared.prepare:
                self._miss(f"cannot read the label file of {name}, {labels}: {error.strerror}")
        listed = f"{name} train" if split == "train" else name
        self.videos[listed] = count(content.decode("utf-8-sig", errors="replace"))
        described = self._described(name, model)
        classes = str(self._path(declared.classes)) if declared.classes else ""
        digest = hashlib.sha256(content).hexdigest()
        if classes:
            try:
                digest = content_sha256([labels, Path(classes)], self.runs)
            except OSError as error:
                self._miss(f"cannot read the classes of {name}, {classes}: {error.strerror}")
        return replace(
            described,
            labels=str(labels),
            labels_sha256=digest,
            classes=classes,
            root=str(self._path(declared.root)),
            edition=edition_of(labels) if declared.prepare else "",
        )

    def _described(self, name: str, model: str) -> jobs.Dataset:
        """A dataset without its files, as `model` takes clips of it."""
        declared = self._declared(name)
        return jobs.Dataset(
            name=name,
            labels="",
            labels_sha256="",
            root="",
            num_classes=declared.num_classes,
            sampling=declared.sampling,
            stride=stride_of(model, declared.stride),
            weights_stride=declared.weights_stride,
        )

    def _checkpoint(self, model: str, dataset: str) -> Checkpoint:
        key = f"{model}/{dataset}"
        if key not in self.profile.checkpoints:
            raise ValueError(
                f'profile {self.profile.name} has no checkpoints."{key}"; set it to the weights of {model}'
            )
        return self._weights("checkpoint", key, self.profile.checkpoints[key])

    def _start(self, model: str, dataset: str) -> Checkpoint | None:
        """What a training begins with; None: from scratch."""
        key = f"{model}/{dataset}"
        if key not in self.profile.pretrained:
            right = f"set it to the pre-trained weights of {model}, or to scratch"
            raise ValueError(f'profile {self.profile.name} has no pretrained."{key}"; {right}')
        path = self.profile.pretrained[key]
        return None if path == SCRATCH else self._weights("pre-trained weights", key, path)

    def _weights(self, what: str, key: str, path: str) -> Checkpoint:
        file = self._path(path)
        try:
            found = Checkpoint.of(file, self.runs)
            empty = not any(one.stat().st_size for one in weights_files(file))
        except OSError as error:
            self._miss(f"cannot read the {what} of {key}, {file}: {error.strerror}")
            return Checkpoint(str(file), "")
        if empty:
            raise ValueError(f"the {what} of {key}, {file}: an empty file")
        return found

    def _path(self, text: str) -> Path:
        try:
            return resolve(text, self.profile, self.runs)
        except ValueError:
            if not self.elsewhere:
                raise
            return Path(text)

    def _miss(self, problem: str) -> None:
        if not self.elsewhere:
            raise ValueError(problem) from None
        if problem not in self.missing:  # a data set is looked at once a model
            self.missing.append(problem)
