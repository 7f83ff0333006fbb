"""The page of a directory, for a browser: names, times and the sizes that are known."""

from __future__ import annotations

import html
import posixpath
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from histfs.core.times import Zone
from histfs.serving.entries import Entry

#: The page loads nothing but itself, and runs nothing.
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
    "table{border-spacing:0;width:100%}td{padding:.1em .6em .1em 0;vertical-align:top}"
    "td+td{white-space:nowrap;color:GrayText}td:nth-child(2){text-align:right}"
    "a{overflow-wrap:anywhere}:root{color-scheme:light dark}"
)


def directory_page(path: str, entries: Iterable[Entry], zone: Zone) -> Iterator[bytes]:
    """Yield the HTML of a directory's page.

    Args:
        path: of the directory.
        entries: what it holds, in this order.
        zone: of the times.
    """
    title = _escaped(path)
    yield (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style><h1>{_way(path)}</h1><table>"
    ).encode()
    for entry in entries:
        slash = "/" if entry.is_directory else ""
        size = "" if entry.size is None else f"{entry.size:,}"
        time = f"{zone.local(entry.mtime):%Y-%m-%d %H:%M}"
        # ./ for a name with a colon, which would be a scheme.
        link = f"./{quote(entry.name, safe='', errors='surrogateescape')}{slash}"
        name = _escaped(entry.name)
        yield f'<tr><td><a href="{link}">{name}{slash}</a><td>{size}<td>{time}\n'.encode()
    yield b"</table></html>\n"


def _way(path: str) -> str:
    """Return links to the directories above one, and its name."""
    names = [name for name in path.split("/") if name]
    above = [("histfs", "/")]
    for index, name in enumerate(names):
        link = quote(posixpath.join("/", *names[: index + 1]), errors="surrogateescape")
        above.append((name, f"{link}/"))
    return " / ".join(f'<a href="{link}">{_escaped(name)}</a>' for name, link in above)


def _escaped(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode())
