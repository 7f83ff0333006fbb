"""What fusepy (on libfuse 2) needs and mfusepy does not: callable operations and a path codec."""

from __future__ import annotations

import codecs
from typing import Any

from histfs.fuse.operations import Operations

#: Name of the codec for paths: UTF-8, with other bytes as surrogates (PEP 383). fusepy decodes
#: strictly: a path that is not UTF-8 would end in EINVAL and a traceback.
ENCODING = "histfs-path"


class CallableOperations:
    """Call an operation by its name, as fusepy does.

    Args:
        operations: the callbacks.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a method or a flag
        value = getattr(self._operations, name)
        setattr(self, name, value)
        return value

    def __call__(self, operation: str, *args: object) -> object:
        """Call an operation."""
        return getattr(self._operations, operation)(*args)


def register_codec() -> None:
    """Register the codec `ENCODING` with Python."""
    codecs.register(_find_codec)


def _find_codec(name: str) -> codecs.CodecInfo | None:
    if name.replace("_", "-") != ENCODING:
        return None
    return codecs.CodecInfo(
        name=ENCODING,
        encode=lambda text, _errors="strict": codecs.utf_8_encode(text, "surrogateescape"),
        decode=lambda data, _errors="strict": codecs.utf_8_decode(data, "surrogateescape", True),
    )
