"""Regular expressions for text of any script, built from Python's own Unicode tables and never from ranges by hand."""

import functools
import re
import sys
import unicodedata
from typing import NamedTuple

JOINERS = "\u200c\u200d"  # zero-width non-joiner (Persian, Indic scripts) and joiner (emoji): invisible, but needed
TEXT_OR_EMOJI = "\ufe0e\ufe0f"  # the variation selectors that choose between a plain and a colored glyph
KEYCAP = "\u20e3"  # 1 + selector + keycap is one emoji
# Written without spaces between words, one character or syllable for each sign:
SINGLE_NAMES = re.compile(r"IDEOGRAPH|HIRAGANA|KATAKANA|HENTAIGANA|TANGUT|NUSHU|KHITAN")
# Format characters (category Cf) that are printed: signs that stand over or around the digits after them.
PRINTED_FORMAT_NAMES = re.compile(r"SIGN|AYAH|FOOTNOTE|ABBREVIATION|ABOVE")


class Patterns(NamedTuple):
    token: re.Pattern  # one token
    invisible: re.Pattern  # characters that print nothing and join nothing
    control: re.Pattern  # Unicode's Cc, less what counts as a space
    stray_selector: re.Pattern  # an emoji selector after a letter, left behind when NFKC turns ™️ into tm
    stray_joiner: re.Pattern  # a joiner or selector with nothing before it, or a joiner with nothing after it


@functools.cache
def patterns() -> Patterns:
    """Compiled once, at the first use: it takes about a quarter of a second to look at all characters."""
    mark, single, invisible, control = [], [], [], []
    symbol, regional, modifier, tag, selector = [], [], [], [], []
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        kind = category[0]
        if kind == "M":
            mark.append(code)
            if re.search("VARIATION SELECTOR|GRAPHEME JOINER", unicodedata.name(character, "")):
                selector.append(code)
        elif category == "Cc":
            if not character.isspace():
                control.append(code)
        elif category == "Cf":
            name = unicodedata.name(character, "")
            if name.startswith("TAG ") or name == "CANCEL TAG":
                tag.append(code)  # part of some flags
            elif name.startswith("EGYPTIAN"):
                mark.append(code)  # these stack hieroglyphs within a word
            elif character not in JOINERS and not PRINTED_FORMAT_NAMES.search(name):
                invisible.append(code)
        elif kind in "LN":
            name = unicodedata.name(character, "")
            if SINGLE_NAMES.search(name):
                single.append(code)
            elif "FILLER" in name:  # letters of Hangul that print nothing
                invisible.append(code)
        elif kind == "S":
            name = unicodedata.name(character, "")
            if name.startswith("REGIONAL INDICATOR"):
                regional.append(code)
            elif name.startswith("EMOJI MODIFIER"):
                modifier.append(code)
            symbol.append(code)
    marks, singles, symbols = _ranges(mark), _ranges(single), _ranges(symbol)
    modifiers, tags, regionals = _ranges(modifier), _ranges(tag), _ranges(regional)

    keycap = rf"[0-9#*][{TEXT_OR_EMOJI}]?{KEYCAP}"
    flag = rf"[{regionals}]{{2}}"
    emoji = rf"[{symbols}][{marks}]*[{modifiers}]?[{marks}]*[{tags}]*"
    emoji_sequence = rf"{emoji}(?:\u200d{emoji})+|{emoji}"
    letter = rf"(?!{keycap})[^\W{singles}]"
    word = rf"{letter}(?:{letter}|[{marks}{JOINERS}])*"
    words = rf"{word}(?:['’]{word})*"
    lone_marks = rf"[{marks}{JOINERS}]+"
    alternatives = (keycap, flag, emoji_sequence, rf"[{singles}][{marks}]*", words, lone_marks, rf"[^\w\s][{marks}]*")
    return Patterns(
        token=re.compile("|".join(alternatives)),
        invisible=re.compile(rf"[{_ranges(invisible)}]|(?<![{symbols}{marks}{tags}])[{tags}]+"),
        control=re.compile(rf"[{_ranges(control)}]"),
        stray_selector=re.compile(rf"(?<=[^\W0-9])[{TEXT_OR_EMOJI}]+|(?<=[0-9])[{TEXT_OR_EMOJI}]+(?!{KEYCAP})"),
        stray_joiner=re.compile(rf"(?<!\S)[{JOINERS}{_ranges(selector)}]+|[{JOINERS}]+(?!\S)"),
    )


def _ranges(codes: list[int]) -> str:
    """The inside of a character class: sorted code points, runs of them as first-last."""
    parts: list[list[int]] = []
    for code in codes:
        if parts and parts[-1][1] == code - 1:
            parts[-1][1] = code
        else:
            parts.append([code, code])
    return "".join(re.escape(chr(a)) + (f"-{re.escape(chr(b))}" if b > a else "") for a, b in parts)
