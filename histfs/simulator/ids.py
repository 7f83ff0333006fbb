"""Ids that look random and are a number in disguise, so that nothing needs to be stored."""

from __future__ import annotations

import math
import random
import string

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_LENGTH = 20

_BASE = len(ALPHABET)
_SPACE: int = _BASE**ID_LENGTH
_PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)
_DIGITS = {character: value for value, character in enumerate(ALPHABET)}


class Ids:
    """A bijection between the numbers from 0 on and 20-character base62 ids.

    The disguise is an affine map modulo 62**20, which has an inverse because its factor shares no
    prime with 62. Both ways cost O(1).
    """

    def __init__(self, key: str) -> None:
        """Makes the bijection that belongs to a key; another key gives other ids."""
        draw = random.Random(key)
        self._offset = draw.randrange(_SPACE)
        self._factor = draw.randrange(_SPACE)
        while math.gcd(self._factor, _BASE) != 1:
            self._factor = draw.randrange(_SPACE)
        self._inverse = pow(self._factor, -1, _SPACE)

    def encode(self, number: int) -> str:
        """Gives the id of a number."""
        rest = (number * self._factor + self._offset) % _SPACE
        pairs = []
        for _ in range(ID_LENGTH // 2):
            rest, pair = divmod(rest, len(_PAIRS))
            pairs.append(_PAIRS[pair])
        return "".join(pairs)

    def decode(self, text: str) -> int | None:
        """Gives the number of an id, or None when the text can't be an id.

        A well-formed id that was never given out decodes to a number, too: one far beyond any
        that is in use.
        """
        if len(text) != ID_LENGTH or not all(character in _DIGITS for character in text):
            return None
        value = 0
        for position in range(ID_LENGTH - 2, -1, -2):
            pair = _DIGITS[text[position]] * _BASE + _DIGITS[text[position + 1]]
            value = value * len(_PAIRS) + pair
        return (value - self._offset) * self._inverse % _SPACE
