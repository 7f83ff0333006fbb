"""Encode numbers as ids that look random, so that no id needs to be stored."""

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

    It is an affine map modulo 62**20, invertible because its factor is coprime to 62. Both
    directions cost O(1). Immutable.
    """

    def __init__(self, key: str) -> None:
        """Derive the bijection from a key; another key gives other ids."""
        rng = random.Random(key)
        self._offset = rng.randrange(_SPACE)
        self._factor = rng.randrange(_SPACE)
        while math.gcd(self._factor, _BASE) != 1:
            self._factor = rng.randrange(_SPACE)
        self._inverse = pow(self._factor, -1, _SPACE)

    def encode(self, number: int) -> str:
        """Return the id of a number."""
        remaining = (number * self._factor + self._offset) % _SPACE
        pairs = []
        for _ in range(ID_LENGTH // 2):
            remaining, pair = divmod(remaining, len(_PAIRS))
            pairs.append(_PAIRS[pair])
        return "".join(pairs)

    def decode(self, text: str) -> int | None:
        """Return the number of an id, or None when the text is not well formed.

        A well-formed id that was never issued decodes to a number far beyond any in use.
        """
        if len(text) != ID_LENGTH or not all(character in _DIGITS for character in text):
            return None
        value = 0
        for position in range(ID_LENGTH - 2, -1, -2):
            pair = _DIGITS[text[position]] * _BASE + _DIGITS[text[position + 1]]
            value = value * len(_PAIRS) + pair
        return (value - self._offset) * self._inverse % _SPACE
