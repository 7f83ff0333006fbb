"""Classifies the server's strings.

Facts are made to be attached to a public report. So they contain no string of the server's: each
is replaced by its class, and all classes are built from the constants of this module.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

#: The value of a fact: a number, a constant of this package, or such values by constant names.
Value = bool | int | float | str | Mapping[str, int] | Mapping[str, float]

OTHER, ABSENT, GIVEN, EMPTY = "(other)", "absent", "given", "(empty)"

SOURCES = {
    "TTS", "STS", "Projects", "PD", "AN", "Dubbing", "PlayAPI", "ConvAI", "VoiceGeneration",
    "VoicePreview", "InVPC", "Flows",
}  # fmt: skip
STATES = {"created", "deleted", "processing"}
_MEDIA_TYPES = {
    "audio/mpeg", "audio/mp3", "audio/wav", "audio/x-wav", "audio/wave", "audio/pcm", "audio/x-pcm",
    "audio/l16", "audio/ogg", "audio/opus", "audio/basic", "audio/flac", "audio/mp4", "audio/webm",
    "audio/pcma", "audio/pcmu", "application/ogg", "application/octet-stream",
    "binary/octet-stream", "application/json", "text/html", "text/plain",
}  # fmt: skip
_OUTPUT_FORMAT = re.compile(r"(mp3|pcm|wav|opus|ulaw|alaw|flac)_\d{4,6}(_\d{2,3})?", re.ASCII)
#: The words of public model ids. Another word might be part of a private model's name.
_MODEL_WORDS = {
    "eleven", "monolingual", "multilingual", "english", "turbo", "flash", "sts", "ttv", "tts",
    "text", "to", "sound", "music", "conversational", "realtime", "expressive", "exp", "preview",
    "alpha", "beta", "lite", "mini", "pro", "max",
}  # fmt: skip
_VERSION = re.compile(r"v?\d{1,2}", re.ASCII)
_SOFTWARE = (
    "uvicorn", "gunicorn", "nginx", "envoy", "cloudflare", "cloudfront", "google", "gws",
    "varnish", "histfs-simulator",
)  # fmt: skip
_ENCODINGS = {"identity", "gzip", "br", "deflate", "zstd"}
#: The first bytes of containers.
_CONTAINERS = (
    (b"ID3", "MP3 with ID3"), (b"OggS", "Ogg"), (b"RIFF", "RIFF"), (b"fLaC", "FLAC"),
    (b"{", "JSON"), (b"<", "HTML"),
)  # fmt: skip


# Classes of strings


def media_type(value: object) -> str:
    """Return a common media type, without parameters, else a class."""
    return one_of(_MEDIA_TYPES, string(value).partition(";")[0].strip().lower())


def output_format(value: object) -> str:
    """Return an output format of the documented form, else a class."""
    text = string(value)
    return text if _OUTPUT_FORMAT.fullmatch(text) else (OTHER if text else EMPTY)


def model(value: object) -> str:
    """Return a model id; words that are not in public model ids become ``?``."""
    words = string(value).split("_")
    if words[0] != "eleven":
        return OTHER if words[0] or words[1:] else EMPTY
    return "_".join(w if w in _MODEL_WORDS or _VERSION.fullmatch(w) else "?" for w in words[:6])


def dialogue(value: object) -> str:
    """Return how many voices a dialogue has."""
    if not isinstance(value, list) or not value:
        return "none"
    voices = {string(line.get("voice_id")) for line in value if isinstance(line, Mapping)}
    return "one voice" if len(voices) == 1 else "several voices"


def container(content: bytes) -> str:
    """Return the container format, by the first bytes of the audio."""
    for magic, name in _CONTAINERS:
        if content.startswith(magic):
            return name
    if len(content) > 1 and content[0] == 0xFF and content[1] & 0xE0 == 0xE0:
        return "MP3 frames"
    return OTHER if content else EMPTY


def one_of(known: set[str], value: object) -> str:
    """Return a known string, else a class."""
    text = string(value)
    return text if text in known else (OTHER if text else EMPTY)


def string(value: object) -> str:
    """Return a field that should be a string; empty for null."""
    return value if isinstance(value, str) else "" if value is None else OTHER


# Headers


def _given(value: str) -> str:
    return GIVEN


def _number(value: str) -> str:
    return GIVEN if value.isascii() and value.isdigit() else OTHER


def _one_of(*known: str) -> Callable[[str], str]:
    return lambda value: value.lower() if value.lower() in known else OTHER


def _etag(value: str) -> str:
    if re.fullmatch(r'(W/)?"[^"]*"', value):
        return "weak" if value.startswith("W/") else "strong"
    return OTHER


def software(value: str) -> str:
    """Return the common server software that a header names, else a class."""
    return next((name for name in _SOFTWARE if name in value.lower()), OTHER)


#: The headers of an audio response that are reported, and the classifier of each.
AUDIO_HEADERS: Mapping[str, Callable[[str], str]] = {
    "Content-Length": _number,
    "Transfer-Encoding": _one_of("chunked"),
    "Accept-Ranges": _one_of("bytes", "none"),
    "ETag": _etag,
    "Last-Modified": _given,
    "Content-Disposition": _given,
    "Content-Encoding": _one_of(*_ENCODINGS),
    "Content-Type": media_type,
    "Server": software,
    "Via": software,
}


def header(name: str, headers: Mapping[str, str]) -> str:
    """Return the class of a header's value; ``absent`` without the header."""
    value = headers.get(name)
    return ABSENT if value is None else AUDIO_HEADERS[name](value.strip())


def small_number(value: str | None) -> int | str:
    """Return a header's value if it is a number of up to five digits, else a class."""
    if value is None:
        return ABSENT
    digits = value.strip()
    return int(digits) if re.fullmatch(r"\d{1,5}", digits, re.ASCII) else OTHER


# Numbers


def counted(classes: Iterable[str]) -> dict[str, int]:
    """Count classes, most frequent first."""
    return dict(Counter(classes).most_common())


def quantiles(numbers: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Return minimum, median, 90th percentile and maximum.

    Args:
        numbers: at least one.
        digits: decimals to round to.
    """
    ordered = sorted(numbers)

    def quantile(share: float) -> float:
        return round(ordered[math.ceil(share * len(ordered)) - 1], digits)

    return {
        "min": round(ordered[0], digits),
        "median": quantile(0.5),
        "p90": quantile(0.9),
        "max": round(ordered[-1], digits),
    }
