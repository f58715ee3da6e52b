"""Records survive concurrent writers and kill -9, and damaged ones are named, not believed."""

import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from results.records import Record, best_by_cell, load_frame, read_records, write_record

CELL = {"model": "vit_demo", "reduction": "sta:r=12", "dataset": "demo", "views": "5x3", "metric": "top1"}


def make(id="a", **changes):
    values = {
        "id": id,
        "cell": CELL,
        "value": 93.75,
        "unit": "%",
        "status": "done",
        "profile": "demo",
        "job": "evaluate-1",
        "started": "2025-01-02T03:04:05.678+00:00",
        "ended": "2025-01-02T03:05:05.678+00:00",
        "counts": {"evaluated": 64, "listed": 64},
    }
    return Record(**(values | changes))


def test_a_record_reads_as_it_was_written(tmp_path):
    record = make(
        settings={"precision": "fp32", "batch": 32},
        samples={"correct": 60, "total": 64, "clips_per_s": [101.5, 99.25]},
        counts={"evaluated": 62, "listed": 64},
        status="partial",
        skipped=[{"video": "val/a b.mp4", "reason": "truncated"}, {"video": "ü.mp4", "reason": "missing"}],
        flags=["IQR is 14 % of the median"],
        notes=["r/4 of the paper's"],
        provenance={"machine": {"host": "node1"}},
    )
    path = write_record(tmp_path, record)
    assert path == tmp_path / "records" / "a.json"
    assert read_records(tmp_path) == ([record], [])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"id": "../../etc/x"}, "id is not made of"),
        ({"id": ".hidden"}, "id is not made of"),
        ({"value": float("nan")}, "finite"),
        ({"value": True}, "finite"),
        ({"value": 10**400}, "finite"),
        ({"status": "finished"}, "none of done, partial, projected"),
        ({"cell": {"model": "vit_base"}}, "model, reduction, dataset, views, metric"),
        ({"counts": {"evaluated": 65, "listed": 64}}, "more videos evaluated than listed"),
        ({"counts": {"evaluated": 64}}, "evaluated and listed"),
        ({"skipped": ["a.mp4"]}, "video and reason"),
        ({"settings": []}, "settings is not a dict"),
    ],
)
def test_what_is_no_record_cannot_be_made_or_read(tmp_path, changes, problem):
    with pytest.raises(ValueError, match=problem):
        make(**changes)
    content = dataclasses.asdict(make()) | changes
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.json").write_text(json.dumps(content))
    records, ignored = read_records(tmp_path)
    assert records == []
    assert len(ignored) == 1
    assert "records/a.json" in ignored[0]
    assert problem in ignored[0]


def test_damaged_files_are_named_and_the_rest_is_read(tmp_path):
    write_record(tmp_path, make("good"))
    folder = tmp_path / "records"
    whole = (folder / "good.json").read_text()
    (folder / "cut.json").write_text(whole[: len(whole) // 2])
    (folder / "empty.json").write_text("")
    (folder / "other.json").write_text(whole)
    (folder / "newer.json").write_text(whole.replace('"schema": 1', '"schema": 2').replace("good", "newer"))
    (folder / "short.json").write_text('{"schema": 1, "id": "short"}')
    (folder / "bell\x07\x1b[31m.json").write_text("{")
    os.mkfifo(folder / "pipe.json")
    (folder / ".good.x1.tmp").write_text(whole[:10])
    (folder / ".hidden.json").write_text("{")
    (folder / "notes.txt").write_text("not ours")
    records, ignored = read_records(tmp_path)
    assert [record.id for record in records] == ["good"]
    assert ignored == [
        "records/bell\\x07\\x1b[31m.json is ignored: not whole JSON",
        "records/cut.json is ignored: not whole JSON",
        "records/empty.json is ignored: empty",
        "records/newer.json is ignored: its schema is 2, this version reads 1",
        "records/other.json is ignored: its id is good",
        "records/pipe.json is ignored: not a regular file",
        "records/short.json is ignored: it lacks cell, value, unit, status, profile, job, started, ended, "
        "settings, samples, counts, skipped, flags, notes, provenance",
    ]


def test_no_runs_folder_means_no_records(tmp_path):
    assert read_records(tmp_path / "nowhere") == ([], [])
    (tmp_path / "records").write_text("a file")
    records, ignored = read_records(tmp_path)
    assert records == []
    assert ignored == ["records cannot be listed: Not a directory"]


def test_the_first_record_of_an_id_stays(tmp_path):
    write_record(tmp_path, make(value=1.0))
    write_record(tmp_path, make(value=2.0))
    assert [record.value for record in read_records(tmp_path)[0]] == [1.0]


def test_a_damaged_file_makes_room_and_is_kept_aside(tmp_path):
    path = write_record(tmp_path, make(value=1.0))
    path.write_text("{")
    write_record(tmp_path, make(value=2.0))
    assert [record.value for record in read_records(tmp_path)[0]] == [2.0]
    assert path.with_suffix(".unreadable").read_text() == "{"


def _write_all(runs, value, gate):
    gate.wait(60)
    for number in range(100):
        write_record(runs, make(f"r{number}", value=value, samples={"raw": [value] * 2000}))


def test_two_processes_writing_the_same_records_at_once(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    gate = spawn.Barrier(2)
    writers = [spawn.Process(target=_write_all, args=(tmp_path, value, gate)) for value in (1.0, 2.0)]
    for writer in writers:
        writer.start()
    seen: dict[str, float] = {}
    while any(writer.is_alive() for writer in writers):
        for record in read_records(tmp_path)[0]:
            # Whatever was once there stays, and its parts come from one writer.
            assert seen.setdefault(record.id, record.value) == record.value
            assert set(record.samples["raw"]) == {record.value}
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    records, ignored = read_records(tmp_path)
    assert (len(records), ignored) == (100, [])
    assert all(seen.setdefault(record.id, record.value) == record.value for record in records)
    assert sorted(os.listdir(tmp_path / "records")) == sorted(f"r{number}.json" for number in range(100))


_ENDLESS = """
import sys
from pathlib import Path
from results.records import Record, write_record
cell = dict.fromkeys(("model", "reduction", "dataset", "views", "metric"), "x")
number = 0
while True:
    samples = {"raw": [0.5] * 20000}
    record = Record(f"r{number}", cell, 1.0, "%", "done", "demo", "j", "s", "e", samples=samples)
    write_record(Path(sys.argv[1]), record)
    number += 1
"""


@pytest.mark.parametrize("delay", [0, 0.004, 0.008, 0.012, 0.016, 0.02, 0.024, 0.028])
def test_kill_9_while_writing_leaves_only_whole_records(tmp_path, delay):
    writer = subprocess.Popen([sys.executable, "-c", _ENDLESS, str(tmp_path)], cwd=os.getcwd())
    deadline = time.monotonic() + 60
    try:
        while not read_records(tmp_path)[0]:
            assert writer.poll() is None
            assert time.monotonic() < deadline
        # The record just seen is whole; the next ones are under way.
        time.sleep(delay)
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    records, ignored = read_records(tmp_path)
    assert records
    assert ignored == []
    assert all(len(record.samples["raw"]) == 20000 for record in records)


def test_the_best_record_of_a_cell():
    other = CELL | {"views": "2x3"}
    full = make("full", ended="2025-01-01T00:00:00.000+00:00")
    later = make("later", ended="2025-01-03T00:00:00.000+00:00")
    fewer = make("fewer", ended="2025-01-04", status="partial", counts={"evaluated": 60, "listed": 64})
    guess = make("guess", ended="2025-01-05", status="projected", counts={"evaluated": 999, "listed": 999})
    elsewhere = make("elsewhere", cell=other)
    key = tuple(CELL.values())
    records = [full, guess, later, fewer, elsewhere]
    for order in (records, records[::-1]):
        assert best_by_cell(order) == {key: later, tuple(other.values()): elsewhere}
        assert best_by_cell(record for record in order if record is not later)[key] is full
        assert best_by_cell([guess, fewer])[key] is fewer
        assert best_by_cell([guess])[key] is guess


def test_a_record_of_the_expected_settings_is_better_than_a_larger_or_later_one():
    mine = make("mine", settings={"precision": "fp32", "dataset": {"root": "/a"}}, counts={}, status="projected")
    half = make("half", settings={"precision": "fp16", "dataset": {"root": "/a"}}, ended="2025-03-01")
    none = make("none", settings={"precision": "fp16", "dataset": "/a"}, ended="2025-04-01")

    def best(*records, **expected):
        (chosen,) = best_by_cell(records, lambda cell: expected if cell == CELL else {}).values()
        return chosen.id

    assert best(none, half, mine, **{"precision": "fp32", "dataset.root": "/a"}) == "mine"
    assert best(none, half, **{"precision": "fp32", "dataset.root": "/a"}) == "half"
    assert best(none, half, mine, **{"precision": "fp16"}) == "none"
    assert best(none, half, mine) == "none"


def test_most_videos_decides_only_among_records_of_the_same_inputs():
    old = {"checkpoint": {"sha256": "old"}, "precision": "fp32"}
    new = {"checkpoint": {"sha256": "new"}, "precision": "fp32"}
    whole = make("whole", settings=old, value=0.0, counts={"evaluated": 8, "listed": 8}, ended="2025-01-01")
    fewer = make("fewer", settings=new, counts={"evaluated": 7, "listed": 8}, status="partial", ended="2025-01-02")
    fewest = make("fewest", settings=new, counts={"evaluated": 6, "listed": 8}, status="partial", ended="2025-01-03")
    guess = make("guess", settings=new, status="projected", ended="2025-01-04")
    for records in ([whole, fewer, fewest, guess], [guess, fewest, fewer, whole]):
        for digest, expected in (("new", fewer), ("old", whole)):
            present = {"checkpoint.sha256": digest, "precision": "fp32"}
            (best,) = best_by_cell(records, lambda cell, present=present: present).values()
            assert best is expected
        (best,) = best_by_cell(records).values()
        assert best is fewer, "where nothing is known of what is there, the inputs that were measured last"
    (best,) = best_by_cell([whole, guess], lambda cell: {"checkpoint.sha256": "new"}).values()
    assert best is guess, "projected from the present weights, not measured of others"


def test_other_inputs_weigh_more_than_any_number_of_other_settings():
    """Of these, each is better than the next: present inputs, inputs not recorded, inputs that have changed."""
    present = make(
        "present", settings={"start": {"sha256": "new"}, "precision": "fp16", "batch": 8}, ended="2025-01-01"
    )
    unknown = make("unknown", settings={"start": {"size": 3}, "precision": "fp32", "batch": 4}, ended="2025-01-02")
    stale = make("stale", settings={"start": {"sha256": "old"}, "precision": "fp32", "batch": 4}, ended="2025-01-03")
    scratch = make("scratch", settings={"start": "scratch", "precision": "fp32", "batch": 4}, ended="2025-01-04")
    expected = {"start.sha256": "new", "precision": "fp32", "batch": 4}

    def best(*records):
        (chosen,) = best_by_cell(records, lambda cell: expected, contents={"start.sha256"}).values()
        return chosen.id

    assert best(scratch, stale, unknown, present) == best(stale, present) == best(scratch, present) == "present"
    assert best(scratch, stale, unknown) == "unknown"


def test_records_of_earlier_versions_have_the_digest_of_their_weights(tmp_path):
    record = make(settings={"checkpoint": {"path": "/w.pth", "size": 3}}, provenance={"checkpoint_sha256": "abc"})
    write_record(tmp_path, record)
    ((read,), _) = read_records(tmp_path)
    assert read.settings["checkpoint"]["sha256"] == "abc"


def test_a_thousand_records_are_read_and_indexed(tmp_path):
    (tmp_path / "records").mkdir()
    for number in range(1000):
        record = make(f"r{number:04}", cell=CELL | {"reduction": f"sta:r={number}"}, value=float(number))
        (tmp_path / "records" / f"{record.id}.json").write_text(json.dumps(dataclasses.asdict(record)))
    records, ignored = read_records(tmp_path)
    assert ignored == []
    assert [record.value for record in records] == list(range(1000))
    assert len(best_by_cell(records)) == 1000


def test_the_frame_has_a_row_per_record_and_flat_columns(tmp_path):
    provenance = {
        "machine": {"host": "node1", "cpu": "EPYC", "cores": 8, "memory": 2**34, "gpu": None, "driver": None},
        "git": {"commit": "abc", "dirty": False},
        "slurm": {"job_id": "17"},
    }
    write_record(
        tmp_path,
        make(
            "a",
            settings={"precision": "fp32", "nested": {"not": "shown"}},
            counts={"evaluated": 62, "listed": 64},
            status="partial",
            skipped=[{"video": "x", "reason": "empty"}] * 2,
            flags=["odd", "slow"],
            provenance=provenance,
        ),
    )
    write_record(tmp_path, make("b", counts={}, provenance={"machine": "nonsense"}, ended="yesterday"))
    (tmp_path / "records" / "c.json").write_text("{")
    with pytest.warns(UserWarning, match=r"records/c\.json is ignored"):
        frame = load_frame(tmp_path)
    assert list(frame.columns) == [
        *("id", "model", "reduction", "dataset", "views", "metric", "value", "unit", "status"),
        *("evaluated", "listed", "skipped", "flags", "notes", "profile", "job", "started", "ended"),
        *("host", "cpu", "cores", "memory", "gpu", "driver", "commit", "dirty", "slurm_job"),
        "settings.precision",
    ]
    first, second = frame.to_dict("records")
    expected = CELL | {"value": 93.75, "evaluated": 62, "skipped": 2, "flags": "odd; slow", "host": "node1"}
    assert expected.items() <= first.items()
    assert (first["commit"], first["slurm_job"], first["settings.precision"]) == ("abc", "17", "fp32")
    assert (first["ended"] - first["started"]).total_seconds() == 60
    assert frame["evaluated"].isna().tolist() == [False, True]
    assert frame["ended"].isna().tolist() == [False, True]
    assert second["skipped"] == 0
    assert frame.groupby("model")["value"].mean().to_dict() == {"vit_demo": 93.75}


def test_the_frame_of_no_records_has_the_columns(tmp_path):
    frame = load_frame(tmp_path)
    assert len(frame) == 0
    assert {"model", "value", "status"} <= set(frame.columns)


def test_reading_records_needs_neither_torch_nor_pandas():
    ours = "results.records, results.progress, results.published, results.provenance, results.render"
    code = f"import sys, {ours}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "pandas", "numpy"} & set(modules.split())
