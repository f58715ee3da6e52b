import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from jobs.data.alive import beat
from jobs.data.decoding.faults import LogLost, Unreadable
from jobs.data.pool import DecodePool
from jobs.data.reader import read_video
from jobs.data.requests import ClipRequest, Video
from jobs.data.samples import SampleRequest, Samples, read_samples
from jobs.spec.sampling import sampling
from tests.bad_videos import KINDS, make_bad_videos, number_of, numbered_frames, write_video

REQUEST = ClipRequest(sampling("videomae", "kinetics", 16, 4), ("2x3", "4x3"), 48)
LIMIT_S = 60


def obey(file: str, request: ClipRequest) -> Video:
    """A decoder that does what the file's name says, for tests."""
    order, _, value = file.partition(" ")
    if order == "sleep":
        time.sleep(float(value))
    elif order in ("work", "stall"):
        end = time.monotonic() + float(value)
        while time.monotonic() < end:
            time.sleep(0.05)
            beat()
        time.sleep(60 * (order == "stall"))
    elif order == "kill":
        os.kill(os.getpid(), getattr(signal, value))
    elif order == "exit":
        os._exit(int(value))
    elif order == "raise":
        raise RuntimeError(value)
    elif order == "unreadable":
        raise Unreadable(value)
    elif order == "lose":
        raise LogLost(value)
    elif order == "touch":
        Path(value).touch()
    return Video(os.getpid(), np.arange(1), np.zeros((1, 2, 2, 3), np.uint8), "none")


def refuse_to_load() -> None:
    raise AssertionError


def answers(pool: DecodePool, orders: list[str]) -> list[object]:
    """What comes of each order: the reason, or True for a video."""
    found = list(pool.read((order, order, REQUEST) for order in orders))
    assert [key for key, _ in found] == orders
    return [str(answer) if isinstance(answer, Unreadable) else True for _, answer in found]


def decoders() -> list[psutil.Process]:
    """Those of this process; what other tests have begun beside it, as a browser, is not."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "pool.serve" in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.fixture(autouse=True)
def no_process_is_left_behind():
    before = decoders()
    yield
    assert decoders() == before


@pytest.mark.parametrize("workers", [1, 3])
def test_answers_come_in_the_order_of_the_questions(workers):
    orders = [f"sleep {delay}" for delay in (0.3, 0.0, 0.2, 0.1, 0.0, 0.3, 0.0)]
    with DecodePool(workers, LIMIT_S, decode=obey) as pool:
        assert answers(pool, orders) == [True] * 7
        assert len(decoders()) <= workers


def test_a_decoder_that_cannot_tell_damage_is_an_error_and_costs_no_video():
    with DecodePool(1, LIMIT_S, decode=obey) as pool:
        with pytest.raises(LogLost, match=r"^no room for what is said$"):
            answers(pool, ["video", "lose no room for what is said", "video"])
        assert answers(pool, ["video"]) == [True]


def test_a_pool_reads_again_and_keeps_its_decoders():
    with DecodePool(1, LIMIT_S, decode=obey) as pool:
        first, second = (next(pool.read([("", "video", REQUEST)]))[1] for _ in range(2))
    assert isinstance(first, Video)
    assert isinstance(second, Video)
    assert first.num_frames == second.num_frames != os.getpid()  # the decoder's process id


def test_questions_can_be_put_one_by_one():
    with DecodePool(2, LIMIT_S, decode=obey) as pool:
        first, second, third = (pool.submit(order, REQUEST) for order in ("sleep 0.3", "unreadable it is", "video"))
        assert isinstance(third.result(), Video)
        assert str(second.result()) == "it is"
        assert isinstance(first.result(), Video)


def test_questions_whose_turn_has_not_come_are_dropped_at_the_end():
    with DecodePool(1, LIMIT_S, decode=obey) as pool:
        waiting = [pool.submit(order, REQUEST) for order in ("sleep 600", "video")]
        until(waiting[0].running)
    assert waiting[1].cancelled()


def test_what_a_decoder_returns_is_up_to_its_function():
    with DecodePool(1, LIMIT_S, decode=str.partition) as pool:
        assert pool.submit("a video", " ").result() == ("a", " ", "video")


DENSE = sampling("videomae", "kinetics", 4, 4)
TRAINING = SampleRequest(((0, 0, 0, 0),), DENSE, 32, 48, 0.5, 1.3, "rand-m9-mstd0.5-inc1", 0.5, 0.0, 24)


@pytest.mark.parametrize(
    ("decode", "request_", "answer"), [(read_video, REQUEST, Video), (read_samples, TRAINING, Samples)]
)
def test_decoders_have_no_torch(decode, request_, answer, tmp_path):
    file = write_video(tmp_path / "good.mp4", numbered_frames(20))
    with DecodePool(1, LIMIT_S, decode=decode) as pool:
        assert isinstance(pool.submit(str(file), request_).result(), answer)
        (decoder,) = decoders()
        loaded = [Path(one.path).name for one in decoder.memory_maps()]
    assert any("avcodec" in name for name in loaded)
    assert not any("torch" in name for name in loaded)


def test_no_questions_no_answers():
    with DecodePool(2, LIMIT_S, decode=obey) as pool:
        assert list(pool.read([])) == []
        assert decoders() == []


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ("kill SIGSEGV", "the decoder crashed (SIGSEGV)"),
        ("kill SIGABRT", "the decoder crashed (SIGABRT)"),
        ("kill SIGKILL", "the decoder crashed (SIGKILL)"),
        ("exit 3", "the decoder ended (exit code 3)"),
        ("sleep 60", "no frame within 1 s"),
        ("stall 2", "no frame within 1 s"),
        ("work 3", True),
        ("raise no memory", "RuntimeError: no memory"),
        ("unreadable an empty file", "an empty file"),
    ],
)
def test_a_video_that_ends_its_decoder_costs_itself_only(order, reason):
    with DecodePool(1, 1 if order.startswith(("sleep 60", "stall", "work")) else LIMIT_S, decode=obey) as pool:
        assert answers(pool, ["video", order, "video"]) == [True, reason, True]


def test_the_other_decoders_are_not_disturbed():
    orders = ["sleep 1", "kill SIGSEGV", "video", "kill SIGSEGV"]
    with DecodePool(2, LIMIT_S, decode=obey) as pool:
        assert answers(pool, orders) == [True, "the decoder crashed (SIGSEGV)", True, "the decoder crashed (SIGSEGV)"]


def test_signals_to_the_whole_job_are_not_mistaken_for_crashes():
    with DecodePool(1, LIMIT_S, decode=obey) as pool:
        orders = [f"kill {name}" for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")]
        assert answers(pool, orders) == [True] * 5


def test_the_look_ahead_is_bounded():
    taken = []

    def items():
        for number in range(20):
            taken.append(number)
            yield number, "video", REQUEST

    with DecodePool(2, LIMIT_S, ahead=5, decode=obey) as pool:
        reading = pool.read(items())
        for number in range(10):
            assert next(reading)[0] == number
            assert len(taken) == number + 5
        reading.close()


def test_decoders_work_ahead_while_the_caller_is_busy(tmp_path):
    done = tmp_path / "done"
    with DecodePool(1, LIMIT_S, ahead=3, decode=obey) as pool:
        reading = pool.read([("", order, REQUEST) for order in ("video", "video", f"touch {done}")])
        next(reading)
        until(done.exists)
        reading.close()


def test_leaving_early_ends_stuck_decoders():
    def leave():
        with DecodePool(2, LIMIT_S, decode=obey) as pool:
            for _ in pool.read([("", order, REQUEST) for order in ("video", "sleep 600", "sleep 600", "video")]):
                raise LookupError

    with pytest.raises(LookupError):
        leave()


def test_a_decoder_lost_between_videos_is_not_held_against_the_next():
    with DecodePool(1, LIMIT_S, decode=obey) as pool:
        assert answers(pool, ["video"]) == [True]
        (decoder,) = decoders()
        decoder.kill()
        os.waitid(os.P_PID, decoder.pid, os.WEXITED | os.WNOWAIT)
        assert answers(pool, ["video"]) == [True]


def test_a_decoder_that_cannot_begin_is_an_error_not_a_bad_video(capfd):
    refuse_to_load.__module__ = "no_such_module"
    sys.modules["no_such_module"] = sys.modules[__name__]
    failure = pytest.raises(RuntimeError, match=r"a decoder ended \(exit code 1\) before it could begin")
    with DecodePool(1, LIMIT_S, decode=refuse_to_load) as pool, failure:  # type: ignore[arg-type]
        next(pool.read([("", "video", REQUEST)]))
    assert "No module named 'no_such_module'" in capfd.readouterr().err


def test_a_pool_needs_a_worker():
    with pytest.raises(ValueError, match="at least one worker, not 0"):
        DecodePool(0, LIMIT_S)


OWNER = """
import sys
sys.path[:] = {path!r}
from tests.jobs.data.test_pool import DecodePool, LIMIT_S, REQUEST, decoders, obey
with DecodePool(2, LIMIT_S, decode=obey) as pool:
    for key, _ in pool.read([("", order, REQUEST) for order in ("video", "video", "{order}", "{order}")]):
        print(*(process.pid for process in decoders()), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_decoders_end_with_their_parent_even_when_stuck(number):
    code = OWNER.format(path=sys.path, order="sleep 60")
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    owner.stdout.readline()
    pids = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(pids) == 2
    owner.send_signal(number)
    owner.wait()
    owner.stdout.close()
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def until(condition) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_ten_kinds_of_bad_video_among_the_good(tmp_path):
    bad = make_bad_videos(tmp_path / "bad")
    assert set(bad) == set(KINDS)
    assert len(bad) == 10
    good = write_video(tmp_path / "good.mp4", numbered_frames(60))
    items = []
    for kind, file in bad.items():
        items += [("good", str(good), REQUEST), (kind, str(file), REQUEST)]
    items.append(("good", str(good), REQUEST))
    with DecodePool(2, LIMIT_S) as pool:
        found = list(pool.read(items))
    assert [kind for kind, _ in found] == [kind for kind, _, _ in items]
    reasons = {}
    for kind, answer in found:
        if kind == "good":
            assert isinstance(answer, Video)
            assert [number_of(frame) for frame in answer.frames] == answer.numbers.tolist()
        else:
            assert isinstance(answer, Unreadable)
            reasons[kind] = str(answer)
    assert reasons.pop("crash") == "the decoder crashed (SIGABRT)"
    assert reasons.pop("truncated").startswith("truncated: ")
    assert reasons.pop("bit_flipped").startswith("damaged: the decoder reported ")
    assert reasons == {
        "missing": "No such file or directory",
        "empty": "an empty file",
        "folder": "a folder, not a file",
        "pipe": "a named pipe, not a file",
        "text": "not a video, or in a container that is not read: copy it into MP4 or Matroska "
        "(ffmpeg -i FILE -c copy FILE.mp4)",
        "audio_only": "no video stream",
        "single_frame": "a single frame, not a video",
    }
