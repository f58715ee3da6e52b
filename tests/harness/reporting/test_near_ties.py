"""Accuracies of methods that hang on the order of nearly equal scores are said to be so."""

from pathlib import Path

from harness.reporting.near_ties import near_ties
from jobs.spec.cells import Cell
from tests.harness.made import put_record


def test_methods_that_order_near_ties_are_named_once(tmp_path: Path) -> None:
    def of(reduction: str, metric: str = "top1") -> list[str]:
        cell = Cell("vit_demo", reduction, "motion", "1x1", metric)
        return near_ties([put_record(tmp_path, cell), put_record(tmp_path, cell)])

    assert of("sta:r=12") == of("rlt:tau=0.1") == of("vidtldr:r=100") == of("tome:r=16", "clips_per_s") == []
    (line,) = of("tome:r=16")
    assert line.startswith("tome merges tokens by scores that are nearly equal, which other threads, batch sizes and ")
    both = [
        put_record(tmp_path, Cell("vit_demo", one, "motion", "1x1", "top5")) for one in ("tome:r=8", "pitome:ratio=0.9")
    ]
    assert near_ties(both)[0].startswith("pitome and tome merge tokens")
