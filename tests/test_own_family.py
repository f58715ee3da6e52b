"""A family of models that the package does not have, in one file of a user's, by the same commands."""

import json
import subprocess
import sys
from pathlib import Path

from tests.jobs.small_set import make_profile, make_set

FAMILY = '''"""A ViT with learned positions, whose tokens are pooled by their maximum."""

from dataclasses import dataclass

from models.architecture import Architecture, Level
from models.catalog import register_model


@dataclass(frozen=True)
class MaxViT(Architecture):
    def parameters(self, num_classes):
        c, inputs = self.levels[0].dim, 3 * self.tubelet * self.patch**2
        positions = self.slots * self.tokens_per_slot * c
        return (inputs + 1) * c + positions + self.depth * (12 * c**2 + 12 * c) + (c + 1) * num_classes

    def multiply_adds(self, tokens):
        c, inputs = self.levels[0].dim, 3 * self.tubelet * self.patch**2
        blocks = sum(4 * a * c**2 + 2 * a**2 * c + 5 * a * c + 8 * m * c**2 + 5 * m * c for a, m in tokens)
        return self.slots * self.tokens_per_slot * inputs * c + blocks + c * self.num_classes

    def network(self, num_classes):
        import torch
        from torch import nn

        from models.layers import Block, Context
        from models.tokens import Tokens
        from models.video_model import VideoModel

        class Network(VideoModel):
            def __init__(self, arch):
                super().__init__(arch, num_classes)
                level, t, p = arch.levels[0], arch.tubelet, arch.patch
                self.embed = nn.Conv3d(3, level.dim, (t, p, p), (t, p, p))
                self.positions = nn.Parameter(0.02 * torch.randn(1, arch.slots * arch.tokens_per_slot, level.dim))
                self.blocks = nn.ModuleList(Block(level.dim, level.heads) for _ in range(level.depth))
                self.head = nn.Linear(level.dim, num_classes)

            def group_matcher(self, coarse=False):
                return {"stem": r"^(embed|positions)", "blocks": r"^blocks\\.(\\d+)\\."}

            def logits(self, video, stages, branches):
                x = self.embed(video).flatten(2).transpose(1, 2) + self.positions
                tokens = stages.run("before", 1, Tokens(x))
                for number, block in enumerate(self.blocks, 1):
                    x, asked = self.run(block, tokens.x, Context(stages.asks(number)))
                    tokens = stages.run("after", number, tokens.with_x(x), asked)
                return self.head(tokens.x.amax(1))

        return Network(self)


register_model(
    "maxvit", MaxViT((Level(16, 3, 2),), image=56, patch=14, frames=8, num_classes=16, sampling="video_swin", stride=2)
)
'''
TABLE = """
model = "maxvit"
dataset = "set"
views = "2x3"
[rows]
reduction = ["none", "sta:r=4,at=1-2"]
[columns]
metric = ["top1", "gflops", "clips_per_s", "tokens_kept"]
"""


def run(folder: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = ["--profile", "profile.toml", "--runs", "runs", "--plugin", "maxvit.py"]
    return subprocess.run(
        [sys.executable, "-m", f"harness.{command}", *arguments, *places],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_a_third_family_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "maxvit.py").write_text(FAMILY)
    script = "import maxvit, sys, torch\nfrom models import create_model, count_flops\n"
    script += "model = create_model('maxvit')\nfrom safetensors.torch import save_file\n"
    script += "save_file(model.state_dict(), 'weights.safetensors')\n"
    script += "assert sum(p.numel() for p in model.parameters()) == model.arch.parameters(16)\n"
    script += "model.set_reduction('sta:r=4,at=1-2')\n"
    script += "assert count_flops(model) == model.reduction.multiply_adds(model.arch)\n"
    made = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    labels = make_set(tmp_path / "data", videos=4, frames=40)
    profile = make_profile(tmp_path / "profile.toml", labels, tmp_path / "weights.safetensors")
    profile.write_text(profile.read_text().replace("vit_demo/", "maxvit/"))
    (tmp_path / "mine.toml").write_text(TABLE)
    swept = run(tmp_path, "sweep", "mine.toml")
    assert swept.returncode == 0, swept.stderr
    cells = {
        (cell["row"], cell["column"]): cell
        for cell in json.loads(run(tmp_path, "report", "mine.toml", "--json").stdout)
        if cell["table"] == "mine"
    }
    assert {cell["status"] for cell in cells.values()} == {"done"}
    assert cells["sta:r=4,at=1-2", "gflops"]["value"] < cells["none", "gflops"]["value"]
    assert list((tmp_path / "runs").rglob("tokens.png"))


def test_a_network_beside_its_family_is_part_of_its_records(tmp_path: Path) -> None:
    body = FAMILY.replace("    def network(self, num_classes):", "    made_by = '_net:make'\n\n    def other(self):", 1)
    (tmp_path / "maxvit.py").write_text(body)
    script = "from jobs.spec.plugins import load_plugins, plugin_digest\nload_plugins(['maxvit.py'])\n"
    digests = []
    for text in ("make = 1\n", "make = 2\n"):
        (tmp_path / "_net.py").write_text(text)
        command = [sys.executable, "-c", script + "print(plugin_digest('maxvit', 'top1'))"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout)
    assert digests[0] != digests[1]
