"""The printed numbers, checked against a second transcription made from the page by rows."""

import pytest

from results.published import Published, load_published

TABLE_2 = """
2x3   83.36 83.21 83.09 82.56
4x3   85.10 85.00 84.85 84.35
6x3   85.05 85.07 84.84 84.59
8x3   84.91 84.93 84.80 84.43
16x3  84.91 84.97 84.89 84.48
"""


def test_table_1():
    found = load_published("table1")
    rows = {"ViT-B": (53, 28, 81.2), "STA48-ViT-B": (96, 15, 80.6)}
    columns = ("clips/s", "Training (h)", "Top-1")
    assert {row: tuple(found[row, column].value for column in columns) for row, _ in found} == rows
    assert {item.metric for (_, column), item in found.items() if column == "Training (h)"} == {"train_hours"}
    assert len(found) == 6


def test_table_2():
    lines = [line.split() for line in TABLE_2.strip().splitlines()]
    columns = ["r=0", "r=48", "r=64", "r=80"]
    printed = {(row, name): float(text) for row, *texts in lines for name, text in zip(columns, texts, strict=True)}
    found = load_published("table2")
    assert {key: item.value for key, item in found.items()} == printed
    assert list(found) == list(printed)
    assert {(item.metric, item.source) for item in found.values()} == {("top1", "STA supplement, Table 2")}


def test_table_3():
    found = load_published("table3")
    rows = {
        "2 stages": (302, 84.5),
        "3 stages": (308, 85.0),
        "4 stages": (305, 84.8),
        "at 1,9,17": (308, 85.0),
        "at 3,11,19": (339, 85.0),
        "at 5,13,21": (370, 85.1),
    }
    assert {row: (found[row, "GFLOPs"].value, found[row, "Top-1"].value) for row, _ in found} == rows
    assert {item.metric for (_, column), item in found.items() if column == "GFLOPs"} == {"gflops"}
    assert found["3 stages", "Top-1"] == Published(85.0, "top1", "STA supplement, Table 3")


@pytest.mark.parametrize("table", ["mine", "", "../published/table2", "/etc/passwd", "*", "table\x00"])
def test_other_tables_have_none(table):
    assert load_published(table) == {}
