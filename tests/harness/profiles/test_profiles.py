"""Profiles: where they are found, what --set can change, and that nothing wrong in them is taken silently."""

import re
from pathlib import Path

import pytest

from harness.planning.lanes import gpus, lanes
from harness.profiles import Launch, load_profile, profile_names, resolve
from jobs.spec.recipe import Recipe
from tests.harness.made import make_profile


def test_the_built_in_profiles_load() -> None:
    assert profile_names() == ["demo", "v100"]
    for name in profile_names():
        assert load_profile(name).name == name
    assert load_profile("demo").launch.executor == "local"
    assert load_profile("v100").launch.executor == "slurm"


def test_where_the_profile_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_profile().name == "demo"
    make_profile(tmp_path / "here").rename(tmp_path / "harness.toml")
    assert load_profile().name == "harness"
    monkeypatch.setenv("HARNESS_PROFILE", "v100")
    assert load_profile().name == "v100"
    assert load_profile("demo").name == "demo"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("evaluate.batch_size=16", 16),
        ("evaluate.tolerance=0.5", 0.5),
        ("evaluate.tolerance=1", 1.0),
        ("evaluate.precision=bf16", "bf16"),
        ('evaluate.precision="bf16"', "bf16"),
        ("launch.partition=gpu,big", "gpu,big"),
        ("launch.exclude=node[1-3]", "node[1-3]"),
        ("launch.partition=", ""),
        ("launch.gpu_arch=sm_90", "sm_90"),
        ("train.compile=true", True),
        ("train.epochs=20", 20.0),
        ("train.randaugment=rand-m7-n4-mstd0.5-inc1", "rand-m7-n4-mstd0.5-inc1"),
        ('launch.setup=["module load cuda", "umask 077"]', ("module load cuda", "umask 077")),
    ],
)
def test_set_takes_values_of_every_type(override: str, expected: object) -> None:
    profile = load_profile("demo", [override])
    section, name = override.partition("=")[0].split(".")
    value = getattr(getattr(profile, section), name)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize("key", ["checkpoints.vit_demo/motion", 'checkpoints."vit_demo/motion"'])
def test_set_reaches_keys_of_the_users_own(key: str) -> None:
    before, after = load_profile("demo").checkpoints, load_profile("demo", [f"{key}=/w.pth"]).checkpoints
    assert after == before | {"vit_demo/motion": "/w.pth"}
    dotted = load_profile("demo", ['checkpoints."my.model/motion"=/w.pth'])
    assert dotted.checkpoints["my.model/motion"] == "/w.pth"


def test_the_last_of_several_settings_holds() -> None:
    profile = load_profile("demo", ["evaluate.block=2", "evaluate.block=3", "datasets.motion.stride=2"])
    assert (profile.evaluate.block, profile.datasets["motion"].stride) == (3, 2)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("evaluate.batchsize=16", "unknown key 'evaluate.batchsize'; valid keys there: precision, compile, "),
        ("speed=1", "unknown key 'speed'; valid keys there: name, datasets"),
        ("evaluate.batch_size=many", "evaluate.batch_size must be a whole number, not 'many'"),
        ("evaluate.batch_size=1.5", "evaluate.batch_size must be a whole number, not 1.5"),
        ("evaluate.batch_size=true", "evaluate.batch_size must be a whole number, not True"),
        ("evaluate.batch_size=0", "evaluate.batch_size must be at least 1, not 0"),
        ("evaluate.tolerance=nan", "evaluate.tolerance must be a number, not nan"),
        ("evaluate.decode_timeout_s=inf", "evaluate.decode_timeout_s must be a number, not inf"),
        ("evaluate.tolerance=1" + "0" * 400, "evaluate.tolerance must be a number"),
        ("evaluate.tolerance=-0.1", "evaluate.tolerance must be a share of the videos, from 0 to 1, not -0.1"),
        ("evaluate.tolerance=25", "evaluate.tolerance must be a share of the videos, from 0 to 1, not 25"),
        ("evaluate.precision=fp8", "unknown evaluate.precision 'fp8'; valid: fp32, fp16, bf16"),
        ("launch.executor=pbs", "unknown launch.executor 'pbs'; valid: local, slurm"),
        ("launch.executor=slurm", "launch.tasks must be at least 1 with executor slurm"),
        ("launch.gpus_per_task=4", "launch.gpus_per_task must be 0 or 1, not 4"),
        ("launch.gpu_arch=7.0", "launch.gpu_arch must be text, not 7.0"),
        ("launch.gpu_arch=V100", "launch.gpu_arch must be a compute capability, as sm_70, or empty, not 'V100'"),
        ("train.epoch=3", "unknown key 'train.epoch'; valid keys there: epochs, batch, base_lr"),
        ("train.epochs=0", "train.epochs must be more than 0, not 0"),
        ("train.epochs=x", "train.epochs must be a number, not 'x'"),
        ("train.compile=1", "train.compile must be true or false, not 1"),
        ("train.precision=int8", "unknown train.precision 'int8'; valid: fp32, fp16, bf16"),
        ("train.zero_stage=4", "unknown train.zero_stage 4; valid: 0, 1, 2, 3"),
        ("train.base_lr=0", "train.base_lr must be more than 0, not 0"),
        ("train.flip=1.5", "train.flip must be a probability, from 0 to 1, not 1.5"),
        ("train.drop_path=1", "train.drop_path must be at least 0 and less than 1, not 1"),
        ("train.short_frames=3", "train.short_frames must be even and at least 2 where there are short epochs, not 3"),
        ("train.warmup_epochs=5", "train.warmup_epochs must be less than all 5 epochs, not 5"),
        ("train.randaugment=auto", "train.randaugment must be as rand-m9-mstd0.5-inc1, or empty, not 'auto'"),
        ("train.micro_batch=5", "train: a batch of 16 videos cannot be divided into 1 process × a micro-batch of 5"),
        ("launch.setup=module", "launch.setup must be a list, not 'module'"),
        ("launch.partition=7", "launch.partition must be text, not 7"),
        ("evaluate=3", "evaluate must be a table, not 3"),
        ("evaluate.block.size=3", "block has no keys below it"),
        ("datasets.new.labels=x", "datasets.new.root is missing"),
        ("datasets.motion.sampling=dense", "datasets.motion.sampling must be kinetics or ssv2, not 'dense'"),
        (
            "datasets.motion.videos=-1",
            "datasets.motion: stride, weights_stride, videos and train_videos must be at least 0",
        ),
        ("rates.clips_per_s.vit_base=0", 'rates.clips_per_s."vit_base" must be more than 0, not 0'),
        ("rates.clips_per_s.vit_tiny=9", "rates.clips_per_s: unknown model 'vit_tiny'; valid models: vit_small"),
        ("rates.train_clips_per_s.vit_base/dtem=9", "rates.train_clips_per_s: unknown reduction 'dtem' in 'dtem'"),
        ("rates.decode_videos_per_s=-1", "rates.decode_videos_per_s must be at least 0, not -1"),
        (
            'checkpoints."vit_base/k400"=mine.pth',
            'checkpoints."vit_base/k400" would not be used, as vit_demo stands in for that model; set the weights of',
        ),
        ("folder=/tmp", "folder is the place of the profile's file and cannot be set"),
        ("evaluate.block", "write KEY=VALUE, as in --set evaluate.batch_size=16"),
        ("=3", "write KEY=VALUE"),
        (".=3", "write KEY=VALUE"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(override: str, expected: str) -> None:
    with pytest.raises(ValueError, match=rf"^--set {re.escape(override)}: ") as caught:
        load_profile("demo", [override])
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_several_settings_the_wrong_one_is_named(tmp_path: Path) -> None:
    of_new = "labels=x", "root=.", "num_classes=2", "sampling=kinetics"
    new = [f"datasets.new.{one}" for one in of_new]
    assert load_profile("demo", new).datasets["new"].num_classes == 2
    with pytest.raises(ValueError, match=r"^--set measure.samples=2: measure.samples must be at least 5, not 2$"):
        load_profile("demo", [*new, "measure.samples=2", "evaluate.block=2"])
    with pytest.raises(ValueError, match=r"^--set evaluate.batch_size=x: evaluate.batch_size must be a whole number"):
        load_profile("demo", ["evaluate.block=2", "evaluate.batch_size=x", "measure.batch_size=y"])
    (tmp_path / "own.toml").write_text("[evaluate]\nblock = 0\n[datasets]\n[checkpoints]\n")
    with pytest.raises(ValueError, match=r"^profile .*own.toml: evaluate.block must be at least 1, not 0$"):
        load_profile(str(tmp_path / "own.toml"), ["evaluate.decoders=2"])


def test_what_a_batch_can_be_divided_into_is_said() -> None:
    with pytest.raises(ValueError, match=r"^--set train.nodes=5: .* into 40 processes .*: 4, 8, 16, 32$"):
        load_profile("v100", ["train.nodes=5"])
    with pytest.raises(ValueError, match=r"micro_batch × train.repeats = 1 × 1 clips are no pairs; .* even"):
        load_profile("v100", ["train.micro_batch=1", "train.repeats=1"])
    load_profile("v100", ["train.micro_batch=1", "train.repeats=1", "train.mixup=0", "train.cutmix=0"])


def test_the_papers_cluster_trains_by_the_papers_recipe() -> None:
    train = load_profile("v100").train
    assert train.recipe(mirror=True) == Recipe()
    assert (train.nodes, train.tasks_per_node, train.micro_batch) == (4, 8, 4)


def test_a_profile_that_is_not_there_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="unknown profile 'cluster'; valid profiles: demo, v100, or your own TOML file"
    ):
        load_profile("cluster")
    with pytest.raises(ValueError, match=r"cannot read profile cluster\.toml: No such file"):
        load_profile("cluster.toml")
    (tmp_path / "bad.toml").write_text("[launch\n")
    with pytest.raises(ValueError, match=r"profile bad\.toml: "):
        load_profile("bad.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"profile bad\.toml: "):
        load_profile("bad.toml")
    (tmp_path / "bad.toml").write_text("[checkpoints]\n")
    with pytest.raises(ValueError, match="datasets is missing"):
        load_profile("bad.toml")


def test_paths_in_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load_profile(str(make_profile(tmp_path / "place")))
    runs = tmp_path / "a$b"
    monkeypatch.setenv("DATA", "/data")
    assert resolve("val.txt", profile, runs) == tmp_path / "place" / "val.txt"
    assert resolve("/val.txt", profile, runs) == Path("/val.txt")
    assert resolve("$DATA/val.txt", profile, runs) == resolve("${DATA}/val.txt", profile, runs) == Path("/data/val.txt")
    assert resolve("{runs}/data", profile, runs) == runs / "data"
    assert (resolve("{models}", profile, runs) / "catalog.py").is_file()
    monkeypatch.delenv("DATA")
    for path in ("$DATA/val.txt", "${DATA}/val.txt"):
        with pytest.raises(ValueError, match=r"profile small: the path .* needs \$DATA, which is not set"):
            resolve(path, profile, runs)


def test_local_tasks_are_bounded_by_cores_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(16))
    assert lanes(Launch(tasks=99)) == 16
    assert lanes(Launch(cpus_per_task=5)) == 3
    assert lanes(Launch(cpus_per_task=99)) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert gpus() == (2, 5)
    assert lanes(Launch(gpus_per_task=1)) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ValueError, match="this machine has no NVIDIA GPU"):
        lanes(Launch(gpus_per_task=1))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8a56")
    with pytest.raises(ValueError, match="name the GPUs by number"):
        gpus()


def test_gpus_are_those_that_nvidia_smi_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus() == ()
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'GPU 0: Tesla V100 (UUID: GPU-1)'\necho 'GPU 1: Tesla V100 (UUID: GPU-2)'\n")
    command.chmod(0o700)
    assert gpus() == (0, 1)


def test_a_profile_saved_by_another_editor(tmp_path: Path) -> None:
    text = make_profile(tmp_path).read_text()
    path = tmp_path / "other.toml"
    path.write_text(text, encoding="utf-8-sig")
    assert load_profile(str(path)).launch == load_profile(str(tmp_path / "small.toml")).launch
    for encoding, found in (("utf-16", "this seems to be UTF-16"), ("latin-1", "byte 0xe9 in line 1 is not")):
        path.write_text(f"# caf\xe9\n{text}", encoding=encoding)
        with pytest.raises(ValueError, match=re.escape(f"profile {path}: TOML is in UTF-8, and {found}; save it as")):
            load_profile(str(path))
