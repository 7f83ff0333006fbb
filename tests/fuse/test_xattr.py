"""Extended attributes with -o xattr; without it they cost no call."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess

import pytest

from histfs.simulator import Simulator, SimulatorSettings
from tests.support.eventually import eventually
from tests.support.mounts import id_of, mounted

pytestmark = pytest.mark.fuse


def test_files_tell_what_they_are(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding, "-o", "xattr") as mount:
        item = mount.items()[0]
        fields = simulator.library.item(id_of(item))
        (audio,) = item.glob("audio.[!s]*")
        found = {name: os.getxattr(audio, name).decode() for name in os.listxattr(audio)}
        assert found["user.histfs.id"] == fields["history_item_id"]
        assert found["user.histfs.voice"] == fields["voice_name"]
        assert found["user.histfs.model"] == fields["model_id"]
        assert found["user.xdg.comment"] == fields["text"]
        assert found["user.mime_type"] == fields["content_type"]
        assert "user.hash.sha256" not in found
        assert simulator.counts["GET /v1/history/{id}/audio"] == 0
        checksum = hashlib.sha256(audio.read_bytes()).hexdigest()
        eventually(lambda: "user.hash.sha256" in os.listxattr(audio))
        assert os.getxattr(audio, "user.hash.sha256").decode() == checksum
        assert set(os.listxattr(item)) == set(found) - {"user.mime_type"}
        assert os.listxattr(mount.path / "by-date") == []
        link = mount.items("by-voice")[0]
        assert link.is_symlink()
        assert os.listxattr(link, follow_symlinks=False) == []
        with pytest.raises(OSError) as caught:
            os.getxattr(audio, "user.other")
        assert caught.value.errno == errno.ENODATA


def test_conversations_of_a_listing_are_told_from_their_summaries(tmp_path):
    settings = SimulatorSettings(items=5, conversations=5)
    with (
        Simulator(settings) as simulator,
        mounted(simulator, tmp_path, "mfusepy", "-o", "xattr") as mount,
    ):
        (first, *_) = sorted((mount.path / "conversations").glob("by-date/*/*/*/*"))
        assert os.getxattr(first, "user.histfs.agent")
        assert simulator.counts["GET /v1/convai/conversations/{id}"] == 0


def test_rsync_carries_them(simulator, tmp_path, binding):
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    with mounted(simulator, tmp_path, binding, "-o", "xattr") as mount:
        line = ["rsync", "-aX", mount.path / "by-voice", f"{mount.items()[0]}/", tmp_path / "copy"]
        assert subprocess.run(line, capture_output=True, timeout=100).returncode == 0
    try:
        names = os.listxattr(tmp_path / "copy" / "text.txt")
    except OSError:
        pytest.skip("this disk keeps no attributes")
    assert "user.histfs.id" in names


def test_without_the_option_the_kernel_stops_asking(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding, "-d") as mount:
        for item in mount.items()[:3]:
            with pytest.raises(OSError) as caught:
                os.getxattr(item, "user.histfs.id")
            assert caught.value.errno == errno.EOPNOTSUPP
        assert mount.log.read_text().count("GETXATTR") <= 1
