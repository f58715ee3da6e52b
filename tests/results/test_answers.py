"""Answers in records: they come back as they were, and damage is told."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.answers import NAME, Answers, answers_of, bits, packed, places
from tests.results.test_records import make as make_record


@given(st.lists(st.sampled_from("01."), max_size=200))
def test_answers_come_back_as_they_were(letters: list[str]) -> None:
    right, seen = [letter == "1" for letter in letters], [letter != "." for letter in letters]
    answers = Answers(len(letters), bits(right), bits(seen), "digest")
    record = make_record(samples={"correct": sum(right), NAME: packed(answers)})
    assert answers_of(record) == answers
    assert list(places(answers.right)) == [k for k, one in enumerate(right) if one]


def test_20_000_videos_take_a_few_kilobytes() -> None:
    right = bits((k * 2654435761) % 100 < 80 for k in range(20_000))
    assert len(packed(Answers(20_000, right, (1 << 20_000) - 1, "digest"))["right"]) < 3400


def test_records_of_earlier_versions_have_none() -> None:
    assert answers_of(make_record(samples={"correct": 3})) is None


GOOD = packed(Answers(10, 0b1011, (1 << 10) - 1, "digest"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (GOOD | {"right": GOOD["right"][:-4]}, "damaged"),
        (GOOD | {"right": "not base64"}, "damaged"),
        (GOOD | {"count": 3}, "damaged"),
        (GOOD | {"count": 10**12}, "damaged"),
        (GOOD | {"count": -1}, "damaged"),
        ({"count": 10}, "damaged"),
        ("text", "damaged"),
        (packed(Answers(10, 0b111111, (1 << 10) - 1, "digest")), "not those of its value"),
        (packed(Answers(10, 0b1011, 0b0011, "digest")), "not those of its value"),
    ],
)
def test_damaged_answers_are_told(content: object, problem: str) -> None:
    record = replace(make_record(), samples={"correct": 3, NAME: content})
    with pytest.raises(ValueError, match=f"^record .*: its answers are {problem}$"):
        answers_of(record)
