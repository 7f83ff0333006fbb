"""Assembles the page: HTML, style, script and the clips as JSON, in one document. Pure.

The Content-Security-Policy lets the browser run this script and this style alone, by their hashes,
and load nothing but audio from where the page itself is.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

from histfs.page.clip import PageClip, placed

#: What must not stand in a script element, as JSON can write it: ``</script>`` and ``<!--`` begin
#: with the first; the others end a line of JavaScript.
_ESCAPED = {"<": "\\u003c", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_ESCAPE = re.compile("[<\u2028\u2029]")
_FIELD = re.compile(r"\{\{(\w+)\}\}")


def page(clips: Iterable[PageClip], title: str, folders: Iterable[str] = ()) -> bytes:
    """Return the page, in UTF-8; the same clips make the same bytes.

    Args:
        clips: in the order in which they are shown.
        title: the heading.
        folders: names of folders beside the page that it links to.
    """
    style, script = _part("page.css"), _part("page.js")
    policy = (
        "default-src 'none';"
        f" script-src '{_hash(script)}'; style-src '{_hash(style)}';"
        # ``self`` is no other file where the page is one: file: stands for those.
        " media-src 'self' file:; img-src data:;"
        " base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    fields = {
        "policy": policy,
        "title": html.escape(_storable(title)),
        "folders": "".join(map(_link, folders)),
        "style": style,
        "script": script,
        "data": _data(clips),
    }
    return _FIELD.sub(lambda field: fields[field[1]], _part("page.html")).encode()


def _data(clips: Iterable[PageClip]) -> str:
    """Return the clips as JSON; a voice is its number in the list of them."""
    voices: dict[str, int] = {}
    rows: list[list[Any]] = []
    for clip in clips:
        text = _storable(clip.text).replace("\r\n", "\n").rstrip("\n")
        numbers = [voices.setdefault(_storable(name), len(voices)) for name in clip.voices]
        words = list(placed(text, clip.words))
        seconds = clip.seconds or 0.0
        seconds = round(seconds, 2) if 0 < seconds < math.inf else 0
        rows.append([clip.when, numbers, clip.audio or "", text, words, seconds])
    # Sorted in the list that the reader chooses from.
    names = sorted(voices, key=str.casefold)
    places = {voices[name]: place for place, name in enumerate(names)}
    for row in rows:
        row[1] = [places[number] for number in row[1]]
    document = json.dumps(
        {"voices": names, "clips": rows}, ensure_ascii=False, separators=(",", ":")
    )
    return _ESCAPE.sub(lambda found: _ESCAPED[found[0]], document)


def _link(folder: str) -> str:
    # ./ for a name with a colon, which would be a scheme.
    address = quote(folder.encode("utf-8", "surrogateescape"), safe="")
    return f'<a href="./{address}/">{html.escape(_storable(folder))}</a> '


def _storable(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and UTF-8 can't."""
    return text.encode("utf-8", "replace").decode()


@cache
def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
