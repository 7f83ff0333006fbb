"""A place in a filesystem that has no whole objects gets them by a rename."""

from __future__ import annotations

import io

import pytest

from histfs.exporting.bucket import Bucket, destination_of
from histfs.exporting.destination import PART, Folder, fingerprint, read
from histfs.exporting.errors import DestinationBusy, DestinationFailed

pytest.importorskip("fsspec")


@pytest.fixture
def place(tmp_path):
    """A folder by way of fsspec, as SFTP is."""
    return Bucket(f"local://{tmp_path}/there", tmp_path)


def test_an_object_is_written_beside_its_place_and_replaced(place, tmp_path, monkeypatch):
    assert place.sizes("audio") == {}
    assert read(place, "audio/a.mp3") is None
    place.put("audio/a.mp3", io.BytesIO(b"first"))
    place.put("audio/a.mp3", io.BytesIO(b"second"))
    assert read(place, "audio/a.mp3") == b"second"
    assert fingerprint(place, "audio/a.mp3")[0] == 6
    (tmp_path / "there" / "audio" / f"{PART}1-b.mp3").write_bytes(b"half")
    assert place.sizes("audio") == {"audio/a.mp3": 6}

    def broken(path, value):
        (tmp_path / "there" / "audio" / path.rpartition("/")[2]).write_bytes(value[:1])
        raise OSError("the line broke")

    monkeypatch.setattr(place._fs, "pipe_file", broken)
    with pytest.raises(DestinationFailed, match="the line broke"):
        place.put("audio/a.mp3", io.BytesIO(b"third"))
    assert read(place, "audio/a.mp3") == b"second"
    left = [path.name for path in (tmp_path / "there" / "audio").iterdir()]
    assert sorted(left) == [f"{PART}1-b.mp3", "a.mp3"]
    place.remove("audio/a.mp3")
    place.remove("audio/a.mp3")
    assert place.sizes("audio") == {}


def test_a_large_object_is_sent_from_a_file(place, monkeypatch):
    monkeypatch.setattr("histfs.exporting.bucket._IN_MEMORY", 10)
    place.put("a", io.BytesIO(b"x" * 100))
    assert read(place, "a") == b"x" * 100


def test_a_second_command_is_kept_away(place, tmp_path):
    other = Bucket(f"local://{tmp_path}/there", tmp_path)
    with place.locked(), pytest.raises(DestinationBusy), other.locked():
        pass
    with other.locked():
        pass


def test_a_text_names_a_folder_or_a_bucket(tmp_path):
    assert isinstance(destination_of(f"file://{tmp_path}/x", tmp_path), Folder)
    assert isinstance(destination_of(str(tmp_path / "y"), tmp_path), Folder)
    with pytest.raises(DestinationFailed, match="nothing://host/x"):
        destination_of("nothing://user:secret@host/x", tmp_path)
