"""What a check found, in a line."""

from typing import NamedTuple


class Finding(NamedTuple):
    """`state` is ok, warning, unknown (what could not be looked at) or wrong; but for ok, the text says the remedy."""

    state: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.state:<7}  {self.subject}: {' '.join(self.text.split())}"


def ok(subject: str, text: str) -> Finding:
    return Finding("ok", subject, text)


def warning(subject: str, text: str) -> Finding:
    return Finding("warning", subject, text)


def unknown(subject: str, text: str) -> Finding:
    return Finding("unknown", subject, text)


def wrong(subject: str, text: str) -> Finding:
    return Finding("wrong", subject, text)
