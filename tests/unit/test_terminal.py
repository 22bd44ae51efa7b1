"""Text from outside is shown as it is, and obeyed by nobody."""

import sys

import pytest

from mmcourse.terminal import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ada", "ada"),
        ("Zoë 李 и", "Zoë 李 и"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),  # right-to-left override
        ("\u2066ada\u2069", "\\u2066ada\\u2069"),
        ("a\u200bb", "a\\u200bb"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\r\nb\tc\x9b", "a\\x0d\\x0ab\\x09c\\x9b"),
        ("\ud800", "\\ud800"),
        ("\u2028", "\\u2028"),
        ("\U000e0041", "\\U000e0041"),  # an invisible tag letter
    ],
)
def test_what_would_be_obeyed_is_shown(text, shown):
    assert visible(text) == shown and visible(shown) == shown


def test_no_mark_of_direction_and_no_control_character_is_left():
    shown = visible("".join(map(chr, range(sys.maxunicode + 1))))
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c") & set(shown)
    assert not {chr(number) for number in [*range(32), *range(127, 160)]} & set(shown)
