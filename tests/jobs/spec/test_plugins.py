"""Methods, models and metrics in files of a user's own: what they may be called, and what is said of wrong ones."""

import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from jobs.spec import plugins
from jobs.spec.cells import code_held, code_of
from jobs.spec.plugins import load_plugins
from models import count_flops, create_model
from models.catalog import ARCHITECTURES
from models.plugin_code import is_plugin
from models.reduction import methods, parse, reduction_on, source_digest
from models.reduction._base import REGISTRY
from results.metrics import MEASURES, METRICS

HEAD = """from dataclasses import dataclass
import torch
from models.reduction import Choice, Reduction, Staged, register


@register
@dataclass(frozen=True)
class Mine(Staged):
    \"\"\"Mine.\"\"\"

    def keep(self, tokens, keys, stage):
"""
KEEP = "        return tokens.norm(dim=-1).topk(tokens.shape[2] - self.r).indices"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test registers is gone after it."""
    path, loaded = list(sys.path), set(plugins._loaded)
    models, metrics = set(ARCHITECTURES), set(METRICS)
    yield
    for name in [name for name, method in REGISTRY.items() if is_plugin(method)]:
        del REGISTRY[name]
    for table, before in ((ARCHITECTURES, models), (METRICS, metrics)):
        for name in set(table) - before:
            del table[name]
    MEASURES.clear()
    plugins._origins.clear()
    sys.path[:] = path
    plugins._loaded.clear()
    plugins._loaded.update(loaded)
    parse.cache_clear()
    reduction_on.cache_clear()


def put(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def refusal(file: Path) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        load_plugins([file])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_method_in_a_file_is_there_by_the_files_name(tmp_path: Path) -> None:
    load_plugins([put(tmp_path / "mine.py", HEAD + KEEP)])
    assert "mine" in methods()
    model = create_model("vit_demo", "mine:r=12")
    assert model(torch.randn(2, 3, 16, 56, 56)).shape == (2, 16)
    assert count_flops(model) == count_flops(create_model("vit_demo", "random:r=12"))


def test_a_folder_has_several_and_what_they_share(tmp_path: Path) -> None:
    put(
        tmp_path / "_shared.py",
        "def left(tokens, r):\n    return tokens.norm(dim=-1).topk(tokens.shape[2] - r).indices\n",
    )
    for name in ("first", "second"):
        body = f"{HEAD}        from _shared import left\n\n        return left(tokens, self.r)\n"
        put(tmp_path / f"{name}.py", body)
    load_plugins([tmp_path])
    assert {"first", "second"} <= set(methods())
    assert create_model("vit_demo", "second:r=12")(torch.randn(1, 3, 16, 56, 56)).shape == (1, 16)
    before = source_digest("first")
    put(
        tmp_path / "_shared.py",
        "def left(tokens, r):\n    return tokens.sum(dim=-1).topk(tokens.shape[2] - r).indices\n",
    )
    assert source_digest("first") != before


def test_a_changed_file_is_other_code(tmp_path: Path) -> None:
    file = put(tmp_path / "mine.py", HEAD + KEEP)
    load_plugins([file])
    before = code_of("vit_demo", "mine:r=12")
    put(file, HEAD + KEEP + "  # changed\n")
    assert code_of("vit_demo", "mine:r=12") != before
    assert code_of("vit_demo", "none") == code_of("vit_base", "none")


def test_while_code_is_held_its_files_are_looked_at_once(tmp_path: Path) -> None:
    """For all cells of one plan or report; the next one sees what has changed."""
    file = put(tmp_path / "mine.py", HEAD + KEEP)
    load_plugins([file])
    with code_held():
        before = code_of("vit_demo", "mine:r=12")
        put(file, HEAD + KEEP + "  # changed\n")
        assert code_of("vit_demo", "mine:r=16") == before
        with code_held():
            assert code_of("vit_demo", "mine:r=12") != before
    assert code_of("vit_demo", "mine:r=12") != before


def test_a_model_and_a_metric_of_ones_own(tmp_path: Path) -> None:
    text = """
from models.catalog import ViT, register_model
from results.metrics import Metric, register_metric

register_model("vit_mine", ViT.of(24, 2, 2, image=16, patch=8, frames=4, num_classes=3))


@register_metric("largest", Metric("largest logit", "", "timing", "measure"))
def largest(model, clips):
    return model(clips).max()
"""
    file = put(tmp_path / "own.py", text)
    load_plugins([file])
    assert create_model("vit_mine")(torch.randn(1, 3, 4, 16, 16)).shape == (1, 3)
    assert METRICS["largest"].meaning == "largest logit"
    assert MEASURES["largest"](create_model("vit_mine"), torch.randn(1, 3, 4, 16, 16)).dim() == 0  # type: ignore[attr-defined]
    assert "plugin" not in code_of("vit_demo", "none", "top1")
    model, metric = code_of("vit_mine", "none", "top1"), code_of("vit_demo", "none", "largest")
    assert model["plugin"] == metric["plugin"]
    put(file, text + "\n")
    assert code_of("vit_mine", "none")["plugin"] != model["plugin"]


def test_what_an_installed_package_registers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "package_of_mine" / "__init__.py", "")
    put(tmp_path / "package_of_mine" / "theirs.py", HEAD + KEEP)
    monkeypatch.syspath_prepend(tmp_path)
    point = importlib.metadata.EntryPoint("theirs", "package_of_mine.theirs", plugins.GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
    load_plugins([])
    assert "theirs" in methods()
    assert source_digest("theirs")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mine", "import nowhere_at_all", "line 1: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("mine", "x = 1\ndef f(:\n", "line 2: SyntaxError: "),
        ("mine", "x = 1\n\nprint(y)\n", "line 3: NameError: name 'y' is not defined"),
        ("sta", HEAD + KEEP, "line 6: 'sta' is the name of a built-in reduction; give the file, or `name`, another"),
        ("mine", HEAD.replace("stage)", "stage, more)") + KEEP, "line 11: keep must take (self, tokens, keys, stage)"),
        ("mine", HEAD.replace("tokens, keys, stage", "tokens") + KEEP, "line 11: keep must take (self, tokens, keys, "),
        ("mine", HEAD.replace("def keep", "def keeps") + KEEP, "line 6: Mine must define keep(tokens, keys, stage), "),
        (
            "mine",
            "from models.reduction import register\n\nregister(3)\n",
            "line 3: @register is for a class of ",
        ),
        (
            "mine",
            'from models.catalog import *\n\nregister_model("vit_base", ViT.of(8, 1, 1))\n',
            "line 3: 'vit_base' is the name of a model that there is; give yours another",
        ),
        (
            "mine",
            'from models.catalog import *\n\nregister_model("vit_odd", ViT.of(8, 1, 3))\n',
            "line 3: model vit_odd: dim = 8 is no multiple of heads = 3",
        ),
        (
            "mine",
            'from models.catalog import *\n\nregister_model("net", Architecture((Level(8, 1, 1),)))\n',
            "line 3: model net: give a ViT, a VideoSwin, or a family of your own, not Architecture(levels=(Level(",
        ),
        (
            "mine",
            "from models.catalog import *\n\n\nclass Net(Architecture):\n    pass\n\n\n"
            'register_model("net", Net((Level(8, 1, 1),), frames=3))\n',
            "line 8: model net: no network (made_by); frames = 3 is no multiple of tubelet = 2",
        ),
        (
            "mine",
            'from models.catalog import *\n\nregister_model("swin", VideoSwin.of(8, (1,), (1,), window=(0, 7, 7)))\n',
            "line 3: model swin: window = (0, 7, 7): three sides, of slots, rows and columns, of at least 1 are needed",
        ),
        (
            "mine",
            'from results.metrics import *\n\nregister_metric("top1", Metric("", "", "timing", "measure"))\n',
            "line 3: ValueError: 'top1' is the name of a metric that there is; give yours another",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = put(tmp_path / f"{name}.py", text)
    known = [set(one) for one in (ARCHITECTURES, METRICS, REGISTRY)]
    assert f"{file}, {message}" in refusal(file)
    assert known == [set(one) for one in (ARCHITECTURES, METRICS, REGISTRY)]
    assert f"{file}, {message}" in refusal(file)  # also when it is tried again


def test_two_files_of_one_name(tmp_path: Path) -> None:
    first, second = (put(tmp_path / folder / "mine.py", HEAD + KEEP) for folder in ("a", "b"))
    load_plugins([first, first])
    assert f"'mine' is the name of the reduction in {first}; give one of them another `name`" in refusal(second)


def test_a_path_without_plugins(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path, put(tmp_path / "text.txt", "")):
        assert f"plugin {path}: a Python file, or a folder of them, is needed" in refusal(path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("        return tokens.nrm()", "line 12: AttributeError: 'Tensor' object has no attribute 'nrm'"),
        (
            "        return tokens.norm(dim=-1)",
            "line 11: keep must return positions of the shape (B, T, N - r) = (2, 8, 37)",
        ),
        ("        return 3", "line 11: keep must return positions of the shape (B, T, N - r) = (2, 8, 37), not a int"),
        (f"{KEEP} + 20", "line 11: positions that keep returns must be from 0 to 48; it gives 20 to 68"),
        (f"{KEEP} * 0", "line 11: a token is kept or merged more than once"),
        (f"{KEEP}.float()", "line 11: kept must be positions, of dtype int64, or a mask, not torch.float32"),
    ],
)
def test_a_wrong_choice_is_named_with_its_line(tmp_path: Path, body: str, message: str) -> None:
    file = put(tmp_path / "mine.py", HEAD + body + "\n")
    load_plugins([file])
    model = create_model("vit_demo", "mine:r=12")
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        model(torch.randn(2, 3, 16, 56, 56))
    assert f"{file}, {message}" in str(caught.value)


FREE = """from dataclasses import dataclass
from typing import ClassVar
import torch
from models.reduction import Choice, Reduction, register


@register
@dataclass(frozen=True)
class Free(Reduction):
    \"\"\"Free.\"\"\"

    place: ClassVar = "between"

    def stages(self, depth):
        return (2,)

    def choose(self, seen):
        batch, count = seen.tokens.shape[:2]
        order = torch.arange(count).expand(batch, -1)
"""


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        ("Choice(order[:, 1:], order[:, :1], order[:, :1] + count)", "into, indices of kept, must be from 0 to 390"),
        ("Choice(order[:, 1:], order[:, :1])", "merged and into must both be given, or neither"),
        ("Choice(order[:, 1:], order[:, :1], order[:, :2])", "into must have the shape of merged, (B, R)"),
        ("Choice(order[:, :0])", "it keeps no token"),
        ("Choice(order[:1])", "kept must be a tensor of a row for each of 2 clips, not the shape (1, 392)"),
        ("Choice(order < 0)", "of some clip it keeps no token"),
        ("Choice(order[:, 1:] > 3)", "kept, a mask, must have the shape (B, N) = (2, 392), not (2, 391)"),
        (
            "Choice(order[:, 1:], order[:, :1], order[:, :1], torch.full((batch, 1), torch.nan))",
            "weights must be finite and not below 0; some are not (a NaN?)",
        ),
        ("order", "it must return a Choice, or None where all stay, not tensor("),
    ],
)
def test_a_wrong_choice_of_another_kind(tmp_path: Path, decision: str, message: str) -> None:
    file = put(tmp_path / "free.py", f"{FREE}        return {decision}\n")
    load_plugins([file])
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        create_model("vit_demo", "free")(torch.randn(2, 3, 16, 56, 56))
    assert f"{file}, line 17: {message}" in str(caught.value)


def test_packages_beside_a_file_are_in_its_digest(tmp_path: Path) -> None:
    put(tmp_path / "helpers" / "__init__.py", "")
    inner = put(tmp_path / "helpers" / "inner.py", "x = 1\n")
    load_plugins([put(tmp_path / "mine.py", f"from helpers.inner import x\n{HEAD}{KEEP}")])
    before = source_digest("mine")
    put(inner, "x = 12\n")
    assert source_digest("mine") != before


def test_a_method_built_on_another_file_has_that_in_its_digest(tmp_path: Path) -> None:
    load_plugins([put(tmp_path / "mine.py", HEAD.replace("Staged)", "STA)").replace(
        "Staged, register", "register\nfrom models.reduction.sta import STA") + KEEP)])  # fmt: skip
    assert source_digest("sta") in source_digest("mine")


def test_one_file_of_a_folder_may_import_another(tmp_path: Path) -> None:
    model = 'from models.catalog import *\n\nTINY = 3\nregister_model("vit_mine", ViT.of(24, 2, 2))\n'
    put(tmp_path / "zmodel.py", model)
    put(tmp_path / "amethod.py", f"from zmodel import TINY\n{HEAD}{KEEP}")
    load_plugins([tmp_path])
    assert {"vit_mine"} <= set(ARCHITECTURES)
    assert "amethod" in methods()


def test_two_methods_in_one_file_need_names(tmp_path: Path) -> None:
    second = KEEP + "\n\n\n@register\nclass Other(Mine):\n    pass\n"
    file = put(tmp_path / "mine.py", HEAD + second)
    assert f"'mine' is the name of the reduction in {file}; give one of them another `name`" in refusal(file)
    named = put(tmp_path / "two.py", HEAD + second.replace("    pass", '    name = "other"'))
    load_plugins([named])
    assert {"two", "other"} <= set(methods())


def test_a_model_of_a_users_method_can_be_counted_before_it_ever_ran(tmp_path: Path) -> None:
    """As a training does at its end."""
    load_plugins([put(tmp_path / "mine.py", HEAD + KEEP)])
    model = create_model("vit_demo", "mine:r=12")
    assert count_flops(model) == count_flops(create_model("vit_demo", "random:r=12"))
    with torch.inference_mode():
        model(torch.randn(1, 3, 16, 56, 56))
