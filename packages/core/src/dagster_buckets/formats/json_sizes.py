"""Sizes: an upper bound of what a JSON text becomes in memory, from counts of its bytes."""

from __future__ import annotations

import re

__all__ = ["may_exceed", "most_memory"]

# Peaks of json.loads as tracemalloc shows them, CPython 3.11 on 64 bits. An empty list takes 72
# bytes, one with up to four items 104; an empty dict 80, one with a pair 192.
_LIST = 104
_DICT = 192
#: The place of an item in a list that grows.
_ITEM = 18
#: A number; small ones are shared, so that each of the others has at least four bytes of text.
_NUMBER, _NUMBER_BY_TEXT = 32, 8
#: What the head of a string has more than that, for each of its two quotes.
_QUOTE, _WIDE_QUOTE = 16, 24
#: The place of a pair in a dict that grows, and of its key among those that the parser remembers.
_PAIR = 112

#: What a call takes anyway.
_CALL = 2048
#: Of the sign that becomes most, ``{``, and of any other byte.
_MOST = 256
_MOST_OF_TEXT = 17

_WIDE = re.compile(rb"[\xf0-\xf4]|\\u")


def may_exceed(data: bytes, allowed: int, by_dict: int = 0, by_item: int = 0) -> bool:
    """Whether :func:`most_memory` may be more than this; mostly told by less counting."""
    most = _MOST + by_dict + by_item
    if _CALL + len(data) * most <= allowed:
        return False
    # One pass of 1 ms for each MB, instead of six that take four times as long.
    signs = len(data) - len(data.translate(None, b'[{,:"'))
    if _CALL + len(data) * _MOST_OF_TEXT + signs * most <= allowed:
        return False
    return most_memory(data, by_dict, by_item) > allowed


def most_memory(data: bytes, by_dict: int = 0, by_item: int = 0) -> int:
    """The most bytes that ``json.loads`` needs for this text, the text included.

    Signs inside of strings count, too: they only make it more. At most about four times of what
    records need.

    Args:
        data: The text.
        by_dict: What is made of a dict takes so many bytes more.
        by_item: And of every value.
    """
    # Every character of a string takes as many bytes as the widest of them needs.
    narrow = data.isascii() and b"\\u" not in data
    width = 1 if narrow else 4 if _WIDE.search(data) else 2
    lists, dicts = data.count(b"["), data.count(b"{")
    items = data.count(b",") + lists + dicts
    return (
        _CALL
        + len(data) * (1 + 2 * width)
        + lists * _LIST
        + dicts * (_DICT + by_dict)
        + items * (_ITEM + by_item)
        + min(items * _NUMBER, len(data) * _NUMBER_BY_TEXT)
        + data.count(b'"') * (_QUOTE if narrow else _WIDE_QUOTE)
        + data.count(b":") * _PAIR
    )
