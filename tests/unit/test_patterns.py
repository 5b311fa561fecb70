"""Patterns mean what Python's do, and no text makes one take for ever."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scmkit.core.patterns import Pattern, PatternError

_ATOMS = st.sampled_from(["a", "b", "ab", ".", r"\d", r"\.", "[ab]", "[^a]", "[]a]", "-", "é"])
_TIMES = st.sampled_from(["", "*", "+", "?", "*?", "{2}", "{1,3}", "{,2}", "{2,}", "{0}"])
PATTERNS = st.recursive(
    st.tuples(_ATOMS, st.sampled_from(["", "*", "+", "?", "{2}"])).map(lambda p: f"(?:{p[0]}){p[1]}"),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(st.lists(inner, min_size=1, max_size=3).map("|".join), _TIMES).map(lambda p: f"({p[0]}){p[1]}"),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(PATTERNS, st.lists(st.text("ab.-]1é\n", max_size=7), min_size=5, max_size=20))
def test_patterns_mean_what_pythons_do(pattern: str, texts: list[str]) -> None:
    """Whatever is understood is compared as `re.fullmatch` does it."""
    mine = Pattern(pattern)
    assert [mine.matches(text) for text in texts] == [bool(re.fullmatch(pattern, text)) for text in texts]


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"^[A-Z]{2}\d+$", "CH12", True),
        (r"^[A-Z]{2}\d+$", "CH12\n", False),
        ("(CH|DE)(,(CH|DE))*", "CH,DE,CH", True),
        ("(CH|DE)(,(CH|DE))*", "CH,", False),
        ("", "", True),
        ("a{,}", "aaa", True),
        ("{a}x{y", "{a}x{y", True),
    ],
)
def test_a_pattern_is_compared_with_the_whole_text(pattern: str, text: str, matches: bool) -> None:
    """Anchors around the whole are allowed, and mean nothing."""
    assert Pattern(pattern).matches(text) == matches == bool(re.fullmatch(pattern, text))


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(.*)*x", "a*a*a*a*a*a*b", "(a?){500}b"])
def test_no_text_takes_for_ever(pattern: str) -> None:
    """What Python's own would need the age of the universe for is decided in one reading."""
    begun = time.process_time()
    assert not Pattern(pattern).matches("a" * 5_000)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("[", "unterminated character set"),
        ("a**", "multiple repeat"),
        (r"(a)\1", "not understood"),
        ("(?=a)", "not understood"),
        (r"a\b", "not understood"),
        ("a++", "not understood"),
        ("a^b", "not understood"),
        ("a{5000}", "longer than 1,000"),
        ("((()" + "{999})" * 3, "."),
        ("(" * 5_000 + ")" * 5_000, "."),
    ],
)
def test_what_is_not_understood_is_refused(pattern: str, words: str) -> None:
    """A pattern that Python refuses, or that only it can do, is an error that says what."""
    with pytest.raises(PatternError, match=words):
        Pattern(pattern)
