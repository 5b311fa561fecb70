"""What a code download tells while it is read, and what one that cannot be believed says instead."""

import pytest

from scmkit.core.contract import CODE_COLUMNS
from scmkit.core.errors import NotFoundError, UnreadableAnswerError
from scmkit.wire import downloads

HEADER = ",".join([*CODE_COLUMNS, "lot_number", "note"])


def line(code: str, lot: str, note: str = "") -> str:
    return ",".join([code, *[""] * (len(CODE_COLUMNS) - 1), lot, note])


def pieces(*lines: str, size: int = 7) -> list[bytes]:
    content = "\r\n".join([HEADER, *lines, ""]).encode()
    return [content[i : i + size] for i in range(0, len(content), size)]


def test_codes_are_counted_and_not_lines() -> None:
    """A cell may hold a line break and any letter, wherever a piece ends."""
    found = pieces(line("A", "L1"), line("B", "L1", '"two\nlines, é"'), line("C", "l1 "))
    assert downloads.count(found, {"scm_lot_number": "L1"}) == 3
    assert downloads.count(pieces(), {"scm_lot_number": "L1"}) == 0


@pytest.mark.parametrize("letter", ["\u2028", "\x85", "\x0b", "\x1c", "\f"])
def test_only_a_line_break_ends_a_line(letter: str) -> None:
    """What Python also takes for the end of a line is a letter of a cell."""
    assert downloads.count(pieces(line("A", "L1", f"a{letter}b"), line("B", "L1")), {}) == 2


def test_a_count_is_cut_off_once_it_is_decided() -> None:
    """No more is read than tells that there are too many."""
    read = 0

    def endless():
        nonlocal read
        yield (HEADER + "\n").encode()
        while True:
            read += 1
            yield (line(f"C{read}", "L1") + "\n").encode()

    assert downloads.count(endless(), {}, most=100) == 101
    assert read == 101


def test_the_fields_are_read_from_the_header_alone() -> None:
    """A header without codes is nobody's."""
    assert downloads.fields(pieces(line("A", "L1"))) == ["lot_number", "note"]
    with pytest.raises(NotFoundError, match="no code is selected"):
        downloads.fields(pieces())


@pytest.mark.parametrize(
    ("content", "filters", "words"),
    [
        (pieces(line("A", "L2")), {"scm_lot_number": "L1"}, "codes with another lot_number"),
        (pieces(line("A", "L2")), {"extended_id": ["B", "C"]}, "codes with another extended_id"),
        (pieces(line("A", "L2")), {"products": "SKU-1"}, "codes with another product"),
        (pieces(line("A", "L2")), {"scm_lot": "L1"}, "no field 'lot'"),
        (pieces("A,B"), {}, "line 2 has 2 cells instead of 14"),
        ([b"<html>Log in</html>"], {}, "no column 'extended_id'"),
        ([b""], {}, "no column 'extended_id'"),
        ([b"\xff\xfe\x00"], {}, "no CSV"),
        (pieces('"open'), {}, "no CSV"),
    ],
)
def test_what_cannot_be_believed_is_no_number(content: list[bytes], filters: dict, words: str) -> None:
    """A service that ignores a filter, a torn line and a page are errors in words."""
    with pytest.raises(UnreadableAnswerError, match=words):
        downloads.count(content, filters)
