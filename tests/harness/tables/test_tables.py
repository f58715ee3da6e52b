"""Tables are data: every mistake in one is a line that says where."""

import re
from pathlib import Path

import pytest

from harness.reporting.fill import view_table
from harness.tables import groups, load_table, load_tables, table_names
from jobs.spec.cells import Cell
from models.catalog import architecture
from models.reduction import reduction_on
from results.published import load_published
from tests.harness.made import small_profile


def declared(tmp_path: Path, text: str):
    path = tmp_path / "own.toml"
    path.write_text(text)
    return load_table(str(path))


OURS = {"table1": ("Projected (h)", "Step (s)", "GFLOPs"), "main-table6d": ("GFLOPs",)}
OURS |= {"rlt": ("GFLOPs", "clips/s"), "tokens-merge": ("GFLOPs",), "tome-video": ("clips/s",)}
"""Columns that the paper does not have."""


def test_every_built_in_table_has_a_printed_number_for_each_cell() -> None:
    ablations = [f"main-table6{letter}" for letter in "abcde"]
    main = [*(f"main-table{number}" for number in range(1, 6)), *ablations]
    figures = ["main-figure4", "main-figure5"]
    rivals, tables = ["methods", "rlt"], ["table1", "table2", "table3"]
    assert table_names() == ["figure1", "figure2", *figures, *main, *rivals, *tables, "tokens-merge", "tome-video"]
    for name in (*tables, *main, "rlt", "tokens-merge", "tome-video"):
        metrics = {(entry.row, entry.column): entry.cell.metric for entry in load_table(name).entries}
        ours = OURS.get(name, ())
        papers = {place: metric for place, metric in metrics.items() if place[1] not in ours}
        rows = {entry.row for entry in load_table(name).entries}
        printed = {place: one.metric for place, one in load_published(name).items() if place[0] in rows}
        assert papers == printed
        others = {row for row, _ in load_published(name)} - rows
        assert others == set(load_table(name).rows) - rows, "rows that are printed only"


def test_every_printed_number_of_gflops_is_counted_within_one() -> None:
    """The paper's main tables and its supplement: ViT and Video Swin, STA's stages and schedules, ToMe's 281."""
    counted: dict[tuple[str, str], tuple[float, float]] = {}
    for name in table_names():
        published = load_published(name)
        for entry in load_table(name).entries:
            if entry.cell.metric == "gflops" and (entry.row, entry.column) in published:
                arch = architecture(entry.cell.model)
                found = reduction_on(entry.cell.reduction, arch).multiply_adds(arch)
                assert found is not None
                counted[name, entry.row] = found / 1e9, published[entry.row, entry.column].value
    assert {place for place, (ours, papers) in counted.items() if abs(ours - papers) >= 1} == set()
    assert len(counted) == 24 + 16 + 5 + 4 + 6 + 2, "of Tables 2 to 5, of the supplement's Table 3, of ToMe's"


def test_figures_are_of_what_the_supplements_show_and_have_no_numbers() -> None:
    for name, dataset in (("figure1", "k400"), ("figure2", "ssv2")):
        (entry,) = load_table(name).entries
        assert entry.cell == Cell("vit_base", "sta:r=64", dataset, "", "tokens_kept")
        assert "not known" in entry.inferred
        assert load_published(name) == {}


def test_table1_compares_two_trainings() -> None:
    cells = [entry.cell for entry in load_table("table1").entries]
    assert {cell.reduction for cell in cells} == {"none", "sta:r=48"}
    assert {(cell.metric, cell.dataset, cell.views) for cell in cells} == {
        ("clips_per_s", "", ""),
        ("gflops", "", ""),
        ("train_hours", "k400", ""),
        ("train_hours_projected", "k400", ""),
        ("train_step_s", "k400", ""),
        ("top1_trained", "k400", "5x3"),
    }


def test_table2_is_five_grids_by_four_drop_numbers() -> None:
    table = load_table("table2")
    assert table.rows == ("2x3", "4x3", "6x3", "8x3", "16x3")
    assert table.columns == ("r=0", "r=48", "r=64", "r=80")
    assert {entry.cell.model for entry in table.entries} == {"vit_large"}
    assert {(e.column, e.cell.reduction) for e in table.entries} == {
        ("r=0", "none"),
        ("r=48", "sta:r=48"),
        ("r=64", "sta:r=64"),
        ("r=80", "sta:r=80"),
    }


def test_inferred_rows_of_table3_are_marked_and_no_others() -> None:
    assert {entry.row for entry in load_table("table3").entries if entry.inferred} == {"2 stages", "4 stages"}


def test_lists_are_combined_and_labelled(tmp_path: Path) -> None:
    table = declared(
        tmp_path,
        'model = "vit_base"\ndataset = "k400"\n[rows]\nreduction = ["none", "sta:r=48"]\nviews = ["1x1", "5x3"]\n'
        '[columns]\nmetric = ["top1", "gflops"]\n',
    )
    assert table.name == "own"
    assert table.rows == ("none 1x1", "none 5x3", "sta:r=48 1x1", "sta:r=48 5x3")
    assert table.columns == ("top1", "gflops")
    last = table.entries[-1].cell
    assert (last.reduction, last.dataset, last.views, last.metric) == ("sta:r=48", "", "", "gflops")


GOOD = 'model = "vit_base"\nmetric = "gflops"\n'
ROWS = '[rows]\nreduction = ["none"]\n'
COLUMNS = '[columns]\nmodel = ["vit_base"]\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("= 3", "own.toml: "),
        ('speed = "high"\n' + ROWS + COLUMNS, "unknown key 'speed'; valid keys: title, group, corner, "),
        (ROWS, "it needs columns"),
        (GOOD + '[[rows]]\nlabel = "theirs"\nprinted = 1\n' + COLUMNS, "a row with printed = true has a label"),
        (
            GOOD + '[[rows]]\nlabel = "theirs"\nprinted = true\nreduction = "none"\n' + COLUMNS,
            "a row with printed = true has a label beside it, and nothing else",
        ),
        ("seeds = 3\n" + GOOD + ROWS + COLUMNS, "seeds must be a list of different whole numbers from 0, as"),
        ("seeds = [1, 1]\n" + GOOD + ROWS + COLUMNS, "not [1, 1]"),
        ("seeds = [-1]\n" + GOOD + ROWS + COLUMNS, "not [-1]"),
        ("seeds = [true]\n" + GOOD + ROWS + COLUMNS, "not [True]"),
        ("seeds = [0, 1]\n" + GOOD + ROWS + COLUMNS, "seeds are of trainings, and it has none of their metrics: top1_"),
        (GOOD + '[rows]\nspeed = ["1"]\n' + COLUMNS, "rows.speed must be a non-empty list"),
        (GOOD + "[rows]\nreduction = []\n" + COLUMNS, "rows.reduction must be a non-empty list"),
        (GOOD + "[rows]\nreduction = [48]\n" + COLUMNS, "reduction must be text in quotes, not 48"),
        (GOOD + '[[rows]]\nspeed = "1"\n' + COLUMNS, "unknown key 'speed' in rows"),
        (GOOD + '[rows]\nreduction = ["none", "none"]\n' + COLUMNS, "rows has the label 'none' twice"),
        (
            'model = "vit_base"\n' + ROWS + '[columns]\nmetric = ["top9"]\n',
            "unknown metric 'top9'; valid metrics: top1",
        ),
        ('model = "vit_base"\n' + ROWS + '[columns]\nmetric = ["top1"]\n', "top1 needs dataset"),
        ('model = "vit_base"\n' + ROWS + '[columns]\nmetric = ["train_hours"]\n', "train_hours needs dataset"),
        (
            'model = "vit_base"\ndataset = "k400"\n' + ROWS + '[columns]\nmetric = ["top1_trained"]\n',
            "top1_trained needs views",
        ),
        ('metric = "gflops"\n' + ROWS + '[columns]\nviews = ["5x3"]\n', "gflops needs model"),
        (GOOD + ROWS + '[columns]\nreduction = ["none"]\n', "'reduction' is set both in row 'none' and in column"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=r"own\.toml: ") as caught:
        declared(tmp_path, text)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown table 'table9'; valid tables: figure1, figure2, main-figure4, "):
        load_table("table9")
    with pytest.raises(ValueError, match=r"cannot read table nowhere\.toml: No such file"):
        load_table("nowhere.toml")
    (tmp_path / "table2.toml").write_text("")
    with pytest.raises(ValueError, match="table2 is the name of a built-in table"):
        load_table(str(tmp_path / "table2.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="TOML is in UTF-8, and this seems to be UTF-16; save it as UTF-8"):
        load_table(str(tmp_path / "binary.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ValueError, match="cannot read table"):
        load_table(str(tmp_path / "folder.toml"))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ('views = ["0x3"]', "bad views '0x3'; write CLIPSxCROPS, as in 5x3"),
        ('views = ["٣x3"]', "bad views"),
        ('model = ["vit_tiny"]', "unknown model 'vit_tiny'; valid models: vit_small"),
        ('reduction = ["sta:r=99"]', "r is at most half of a slot's 196 tokens after block 1, 98"),
        ('reduction = ["sta:r=8,at=1-99"]', "there is no block 99; the model has 24"),
        ('reduction = ["dtem:r=8"]', "unknown reduction 'dtem'"),
    ],
)
def test_a_cell_that_cannot_be_is_named_by_its_place(tmp_path: Path, column: str, expected: str) -> None:
    common = {"model": "vit_large", "views": "5x3", "reduction": "none", "dataset": "k400"}
    text = "".join(f'{key} = "{value}"\n' for key, value in common.items() if key not in column)
    table = declared(tmp_path, text + f'[rows]\nmetric = ["top1"]\n[columns]\n{column}\n')
    with pytest.raises(ValueError, match="own, row 'top1', column ") as caught:
        view_table(table, small_profile(tmp_path), {}, [], tmp_path)
    assert expected in str(caught.value)


@pytest.mark.parametrize("metric", ["gflops", "clips_per_s", "latency_ms", "peak_memory_gib"])
def test_what_depends_on_clips_is_asked_for_over_a_dataset(tmp_path: Path, metric: str) -> None:
    rows = '[rows]\nreduction = ["none", "rlt:tau=0.1"]\n'
    text = f'model = "vit_base"\nmetric = "{metric}"\n{rows}[columns]\nviews = ["5x3"]\n'
    (tmp_path / "noise.toml").write_text(text)
    refusal = f"row 'rlt:tau=0.1', column '5x3': {metric} needs dataset, as what rlt:tau=0.1 leaves depends on clips"
    with pytest.raises(ValueError, match=re.escape(refusal)):
        load_table(str(tmp_path / "noise.toml"))
    (tmp_path / "real.toml").write_text('dataset = "k400"\n' + text)
    plain, rlt = (entry.cell for entry in load_table(str(tmp_path / "real.toml")).entries)
    assert (plain.dataset, plain.views) == ("", "")
    assert (rlt.dataset, rlt.views) == ("k400", "5x3")


def test_groups_name_their_tables_and_all_is_all_of_them() -> None:
    found = groups()
    assert list(found) == ["supplement", "paper", "rivals", "all"]
    assert found["supplement"] == ["figure1", "figure2", "table1", "table2", "table3"]
    assert sorted(found["all"]) == table_names()
    asked = load_tables(["supplement", "table2", "methods"])
    assert [table.name for table in asked] == [*found["supplement"], "methods"], "each once"
