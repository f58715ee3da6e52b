"""A method, a metric and a figure of one's own as a user has them: in a folder of theirs, by the two commands."""

import json
import subprocess
import sys
from pathlib import Path

from results.progress import read_progress
from tests.jobs.small_set import make_profile, make_set, make_weights

METHOD = '''from dataclasses import dataclass

from models.reduction import Staged, register


@register
@dataclass(frozen=True)
class LargestNorm(Staged):
    """Keeps the tokens of every slot whose norm is largest."""

    def keep(self, tokens, keys, stage):
        return tokens.norm(dim=-1).topk(tokens.shape[2] - self.r, dim=-1).indices.sort(dim=-1).values
'''
METRIC = """from results.metrics import Metric, register_metric


@register_metric("confidence", Metric("largest probability", "", "timing", "measure", ("dataset", "views")))
def confidence(model, clips):
    return model(clips).softmax(dim=-1).amax(dim=-1).mean()
"""
TABLE = """
model = "vit_demo"
dataset = "set"
views = "1x1"
[rows]
reduction = ["none", "norm:r=12"]
[columns]
metric = ["top1", "gflops", "confidence", "tokens_kept"]
"""


class Place:
    """An empty folder with a table, a profile and a folder of methods, and the commands run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, folder / "runs"
        labels = make_set(folder / "data", videos=4, frames=66)
        profile = make_profile(folder / "profile.toml", labels, make_weights(folder / "demo.safetensors"))
        profile.write_text(profile.read_text() + '\n[plugins]\npaths = ["methods"]\n')
        (folder / "mine.toml").write_text(TABLE)
        (folder / "methods").mkdir()
        (folder / "methods" / "norm.py").write_text(METHOD)
        (folder / "methods" / "confidence.py").write_text(METRIC)

    def run(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        arguments = ["mine.toml", "--profile", "profile.toml", "--runs", "runs", *options]
        return subprocess.run(
            [sys.executable, "-m", f"harness.{command}", *arguments],
            cwd=self.folder, capture_output=True, text=True, timeout=240,
        )  # fmt: skip

    def cells(self) -> dict[tuple[str, str], dict[str, object]]:
        listed = json.loads(self.run("report", "--json").stdout)
        return {(cell["row"], cell["column"]): cell for cell in listed if cell["table"] == "mine"}


def test_from_nothing_to_a_table_and_a_figure(tmp_path: Path) -> None:
    place = Place(tmp_path)
    swept = place.run("sweep")
    assert swept.returncode == 0, swept.stderr
    cells = place.cells()
    assert {cell["status"] for cell in cells.values()} == {"done"}
    assert float(str(cells["norm:r=12", "gflops"]["value"])) < float(str(cells["none", "gflops"]["value"]))
    assert 0 < float(str(cells["norm:r=12", "confidence"]["value"])) < 1
    assert list(place.runs.rglob("tokens.png"))
    (place.folder / "methods" / "norm.py").write_text(METHOD.replace("norm(dim=-1)", "sum(dim=-1)"))
    assert "8 cells, 4 done already" in place.run("sweep", "--dry-run").stdout
    assert "code of norm:r=12" in place.run("report").stdout
    (place.folder / "methods" / "norm.py").write_text(METHOD)
    assert "8 cells, 8 done already" in place.run("sweep", "--dry-run").stdout
    (place.folder / "methods" / "confidence.py").write_text(METRIC + "\n")
    assert "8 cells, 6 done already" in place.run("sweep", "--dry-run").stdout


def test_a_mistake_is_said_once_with_file_and_line(tmp_path: Path) -> None:
    place = Place(tmp_path)
    file = place.folder / "methods" / "norm.py"
    file.write_text(METHOD.replace("tokens.norm", "tokens.nrm"))
    (place.folder / "mine.toml").write_text(TABLE.replace('"gflops", "confidence", "tokens_kept"', '"top5"'))
    swept = place.run("sweep")
    assert swept.returncode == 1
    (line,) = swept.stderr.splitlines()
    assert f"failed: {file}, line 12: AttributeError: 'Tensor' object has no attribute 'nrm'" in line
    (job,) = read_progress(place.runs)
    assert all(not entry.tries for entry in job.entries.values())
    file.write_text("import nowhere_at_all\n")
    for command in ("sweep", "report"):
        refused = place.run(command)
        said = f"error: {file}, line 1: ModuleNotFoundError: No module named 'nowhere_at_all'\n"
        assert (refused.returncode, refused.stderr) == (2, said)
