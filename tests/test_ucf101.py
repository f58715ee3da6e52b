"""UCF101 from its official files to a table, by the commands of the docs, on a small copy of its layout."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.bad_videos import numbered_frames, write_video
from tests.jobs.small_set import make_weights
from tests.test_docs import ROOT, files

CLASSES = ("ApplyEyeMakeup", "ApplyLipstick", "Archery")
SMALLER = {"vit_base": "vit_demo", "num_classes = 101": "num_classes = 16", "r=48": "r=12", "r=64": "r=16"}
"""What this copy has in place of the real one."""


def make_copy(folder: Path) -> None:
    """Xvid in AVI in a folder a class, the lists as they are published, with Windows' line ends and all."""
    lists = folder / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    names = [*CLASSES, *(f"Class{number}" for number in range(len(CLASSES), 16))]
    (lists / "classInd.txt").write_text("".join(f"{number} {name}\r\n" for number, name in enumerate(names, 1)))
    test, train = [], []
    for number, name in enumerate(CLASSES, 1):
        for group, listed in ((1, test), (2, test), (8, train)):
            path = f"{name}/v_{name}_g{group:02d}_c01.avi"
            (folder / "UCF-101" / name).mkdir(parents=True, exist_ok=True)
            video = numbered_frames(70 + group, 60, 80, seed=number)
            write_video(folder / "UCF-101" / path, video, "mpeg4", rate=25)
            listed.append(path if listed is test else f"{path} {number}")
    (lists / "testlist01.txt").write_text("\r\n".join(test) + "\r\n")
    (lists / "trainlist01.txt").write_text("\r\n".join(train) + "\r\n")


def test_ucf101_from_its_official_files_to_a_table(tmp_path: Path) -> None:
    make_copy(tmp_path)
    make_weights(tmp_path / "vit_demo_ucf101.pth")
    for name in ("ucf101/harness.toml", "ucf101/ucf101.toml"):
        text = files()[name]
        for real, small in SMALLER.items():
            text = text.replace(real, small)
        (tmp_path / Path(name).name).write_text(text)
    page = (ROOT / "docs" / "your-data-and-cluster.md").read_text()
    commands = re.findall(r"^(python .*?)\s+# needs UCF101$", page, re.MULTILINE)
    assert [command.split()[2].rpartition(".")[2] for command in commands] == ["datasets", "doctor", "sweep", "report"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    said = []
    for command in [*commands, f"{commands[-1]} --json"]:
        line = command.replace("python ", f"{shlex.quote(sys.executable)} ", 1)
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        said.append(done.stdout)
    assert "6 videos; taken for paths in folders of their class" in said[0]
    assert "6 AVI with MPEG-4" in said[0]
    assert "STA on UCF101, split 1" in said[3]
    cells = [cell for cell in json.loads(said[4]) if cell["table"] == "ucf101"]
    assert len(cells) == 6
    assert {cell["status"] for cell in cells} == {"done"}
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs" / "records").rglob("*.json")]
    decoders = [record["samples"]["decoders"] for record in records if record["cell"]["metric"] == "top1"]
    assert decoders == [{"decord": 6}] * 3
