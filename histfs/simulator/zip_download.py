"""Pack the zip file of the download endpoint, with the file names of the real API."""

from __future__ import annotations

import datetime
import io
import itertools
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from histfs.simulator.clip_bytes import ClipBytes

_FOLDER = "ElevenLabs"
_CATEGORIES = {"premade": "pre", "cloned": "ivc", "professional": "pvc", "generated": "gen"}
_MODELS = {
    "eleven_multilingual_v2": "m2",
    "eleven_multilingual_sts_v2": "m2",
    "eleven_monolingual_v1": "m1",
    "eleven_flash_v2_5": "f2-5",
    "eleven_v3": "v3",
}
# The abbreviations of numeric settings in file names; values are written as percentages.
_SETTINGS = {"speed": "sp", "stability": "s", "similarity_boost": "sb", "style": "se"}


def file_name(item: Mapping[str, object], suffix: str) -> str:
    """Return a file name as the API builds it: second, voice, settings and model, without the id.

    Args:
        item: The item's API object.
        suffix: The file's suffix, with the dot.

    Returns:
        The name, for example ElevenLabs_2023-09-22T12_13_50_Adam_pre_s30_sb95_se20_b_m2.mp3.
    """
    seconds = item["date_unix"]
    if not isinstance(seconds, int):
        raise TypeError("date_unix must be an integer")
    time = datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc)
    voice = str(item["voice_name"] or "").replace("/", "_")
    parts = ["ElevenLabs", time.strftime("%Y-%m-%dT%H_%M_%S"), voice]
    parts.append(_CATEGORIES.get(str(item["voice_category"]), ""))
    settings = item["settings"]
    if isinstance(settings, dict):
        parts += [
            f"{short}{round(settings[name] * 100)}"
            for name, short in _SETTINGS.items()
            if name in settings
        ]
        parts.append("b" if settings.get("use_speaker_boost") else "")
    parts.append(_MODELS.get(str(item["model_id"]), ""))
    # A missing voice leaves an empty part: two consecutive underscores.
    return "_".join([*parts[:3], *filter(None, parts[3:])]) + suffix


def pack(files: Iterable[tuple[str, ClipBytes]]) -> bytes:
    """Pack clips into an uncompressed zip file with one folder.

    Args:
        files: Names and clips; a repeated name gets a number.

    Returns:
        The zip file.
    """
    buffer = io.BytesIO()
    taken: set[str] = set()
    with zipfile.ZipFile(buffer, "w") as archive:
        for base_name, clip in files:
            path = PurePosixPath(base_name)
            numbered = (f"{path.stem}_{number}{path.suffix}" for number in itertools.count(1))
            names = itertools.chain([base_name], numbered)
            name = next(name for name in names if name not in taken)
            taken.add(name)
            archive.writestr(zipfile.ZipInfo(f"{_FOLDER}/{name}"), bytes(clip))
    return buffer.getvalue()
