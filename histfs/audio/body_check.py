"""Checks that the body of an answer is what was requested, before any reader gets a byte of it.

Threads: no state; the generator belongs to the thread of its download.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from histfs.core import audio_format
from histfs.core.attachments import is_binary
from histfs.core.errors import BadAnswer
from histfs.core.item import Item

#: The beginning of a proxy's page, or of an error of the API; no image or recording has it.
_PAGE = re.compile(rb'\s*(<!doctype|<html|<head|<body|<\?xml|\{\s*"(detail|error|message)")', re.I)


def checked(
    item: Item, chunks: Iterable[bytes], on_head: Callable[[bytes], None]
) -> Iterator[bytes]:
    """Hold the first chunks back until their format is decided, then yield all chunks.

    Args:
        item: whose audio, or which attachment.
        chunks: of the body, as they come.
        on_head: called with the first bytes of a clip once they are known to be audio.

    Raises:
        BadAnswer: they are not what was requested, whatever the Content-Type says.
    """
    rest = iter(chunks)
    head, is_complete = b"", True
    for chunk in rest:
        head += chunk
        if audio_format.is_decided(head):
            is_complete = False
            break
    if item.attachment is not None:
        # An attachment may well be a web page, or text.
        if is_binary(item.content_type) and _PAGE.match(head):
            raise BadAnswer("what came is a web page, or an error message")
    else:
        raw = audio_format.is_raw(item.content_type, item.output_format)
        refused = audio_format.refusal(head, whole=is_complete, raw=raw)
        if refused is not None:
            raise BadAnswer(f"the answer is not audio but {refused}")
    if head:
        if item.attachment is None:
            on_head(head)
        yield head
    yield from rest
