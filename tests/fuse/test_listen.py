"""The folder ``listen`` of a mount: clips as files, which players and media servers can use."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from histfs.core.listen.contents import STEADY
from histfs.core.listen.id3 import tag_length
from histfs.simulator import Simulator, SimulatorSettings
from tests.support.mounts import Mount, command, mounted

pytestmark = pytest.mark.fuse

ITEMS, CALLS = 60, 6
#: What is no clip.
BESIDE = (".m3u8", ".srt", ".vtt", ".lrc")


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with Simulator(SimulatorSettings(items=ITEMS, conversations=CALLS, days=20)) as simulator:
        yield simulator


def clips(folder: Path) -> list[Path]:
    """Return the clips below a folder, without playlists and captions."""
    return sorted(path for path in folder.rglob("*.*") if path.suffix not in BESIDE)


def home_of(mount: Mount, clip: Path) -> Path:
    """Return the same file under by-date, by its inode."""
    inode = clip.stat().st_ino
    return next(path for path in mount.audio() if path.stat().st_ino == inode)


def requests(mount: Mount, kind: str = "audio") -> int:
    status = subprocess.run(
        command("status", "--json", mount.path), check=True, capture_output=True
    ).stdout
    return json.loads(status)["requests"][kind]


def test_each_clip_is_one_file_with_the_bytes_and_the_inode_of_its_home(server, tmp_path, binding):
    with mounted(server, tmp_path, binding) as mount:
        listen = mount.path / "listen"
        assert "listen" not in os.listdir(mount.path)
        assert sorted(os.listdir(listen)) == ["by-date", "by-voice", "conversations"]
        assert requests(mount) == 0
        homes = {path.stat().st_ino: path for path in mount.audio()}
        assert len(homes) == ITEMS
        for folder in ("by-voice", "by-date"):
            found = clips(listen / folder)
            assert sorted(path.stat().st_ino for path in found) == sorted(homes)
            assert requests(mount) == (0 if folder == "by-voice" else ITEMS)
            for path in found:
                assert path.read_bytes() == homes[path.stat().st_ino].read_bytes()
        assert requests(mount) == ITEMS
        time.sleep(1.5)  # for so long the kernel may keep an estimate that it has for another name
        for path in clips(listen / "by-voice"):
            assert path.stat() == homes[path.stat().st_ino].stat()


def test_a_playlist_leads_to_the_clips_beside_it_and_has_the_size_that_is_shown(
    server, tmp_path, binding
):
    with mounted(server, tmp_path, binding) as mount:
        folders = [path for path in (mount.path / "listen").glob("*/*") if path.is_dir()]
        assert len(folders) > 3
        for folder in folders:
            playlist = folder / "playlist.m3u8"
            size = playlist.stat().st_size
            lines = playlist.read_bytes().decode().splitlines(keepends=True)
            assert sum(len(line.encode()) for line in lines) == size
            assert lines.pop(0) == "#EXTM3U\n"
            named = [line.rstrip("\n") for line in lines[1::2]]
            assert named == sorted(named) == [path.name for path in clips(folder)]
            assert all(line.startswith("#EXTINF:") for line in lines[::2])


def test_a_clip_that_is_deleted_is_gone_from_it_at_once(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        clip = clips(mount.path / "listen" / "by-voice")[0]
        month = mount.path / "listen" / "by-date" / clip.name[:7] / clip.name
        playlist = clip.with_name("playlist.m3u8")
        assert month.read_bytes() == clip.read_bytes()
        home = home_of(mount, clip)
        assert clip.name in playlist.read_text()
        before = playlist.stat().st_size
        for path in (clip, month, playlist):
            path.stat()
        began = time.monotonic()
        shutil.rmtree(home.parent)
        # libfuse 2 can't tell the kernel, which keeps attributes for a second.
        patience = 0.0 if binding == "mfusepy" else 1.5
        time.sleep(max(began + patience - time.monotonic(), 0))
        assert not clip.exists() and not month.exists()
        with pytest.raises(FileNotFoundError):
            clip.read_bytes()
        assert clip.name not in os.listdir(clip.parent)
        assert playlist.stat().st_size < before
        assert clip.name not in playlist.read_text()


def test_a_reader_of_a_clip_reads_on_when_it_is_deleted(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        clip = clips(mount.path / "listen" / "by-voice")[1]
        home = home_of(mount, clip)
        whole = home.read_bytes()
        with clip.open("rb", buffering=0) as file:
            first = file.read(100)
            (home.parent / home.name).unlink()
            assert first + file.read() == whole


@pytest.mark.parametrize(("options", "number"), [("rw", errno.EPERM), ("ro", errno.EROFS)])
def test_nothing_in_it_can_be_changed(server, tmp_path, binding, options, number):
    with mounted(server, tmp_path, binding, "-o", options) as mount:
        folder = mount.path / "listen" / "by-voice"
        clip = clips(folder)[0]
        attempts = [
            clip.unlink,
            clip.with_name("playlist.m3u8").unlink,
            folder.rmdir,
            clip.parent.rmdir,
            (clip.parent / "new").mkdir,
            lambda: (clip.parent / "new.mp3").write_bytes(b""),
            lambda: clip.rename(clip.with_name("other.mp3")),
        ]
        for attempt in attempts:
            with pytest.raises(OSError) as refused:
                attempt()
            assert refused.value.errno == number
        assert clip.exists()


def test_it_can_be_listed_and_then_its_names_count_as_links(server, tmp_path, binding):
    with mounted(server, tmp_path, binding, "-o", "listen=show") as mount:
        assert os.listdir(mount.path)[-1] == "listen"
        clip = clips(mount.path / "listen" / "by-voice")[0]
        assert clip.stat() == home_of(mount, clip).stat()
        assert clip.stat().st_nlink == 3
        # What only details tell of conversations, and how long clips are, a first copy finds out.
        subprocess.run(["cp", "-r", mount.path, tmp_path / "first"], check=True)
        time.sleep(2 * STEADY)
        copy = ["rsync", "-aHi", f"{mount.path}/", tmp_path / "copy/"]
        subprocess.run(copy, check=True, stdout=subprocess.DEVNULL)
        assert subprocess.run(copy, check=True, capture_output=True, text=True).stdout == ""
        copied = tmp_path / "copy" / clip.relative_to(mount.path)
        assert copied.stat().st_nlink == 3
        assert copied.read_bytes() == clip.read_bytes()


def test_it_can_be_switched_off(server, tmp_path, binding):
    with mounted(server, tmp_path, binding, "-o", "listen=off") as mount:
        assert not (mount.path / "listen").exists()


def test_captions_stand_beside_the_clip_under_its_name_and_are_those_at_home(
    server, tmp_path, binding
):
    with mounted(server, tmp_path, binding) as mount:
        captions = sorted((mount.path / "listen" / "by-voice").rglob("*.srt"))
        assert captions
        homes = {path.stat().st_ino: path for path in mount.path.glob("by-date/*/*/*/*/audio.srt")}
        for path in captions:
            assert path.read_bytes() == homes[path.stat().st_ino].read_bytes()
            assert [beside for beside in clips(path.parent) if beside.stem == path.stem]
        assert requests(mount) == 0


def test_tags_are_read_by_ffprobe_and_the_sound_is_the_same(server, tmp_path, binding):
    with mounted(server, tmp_path, binding, "-o", "tags") as mount:
        found = [
            path for path in clips(mount.path / "listen" / "by-voice") if path.suffix == ".mp3"
        ]
        for clip in found[:8]:
            shown = subprocess.run(
                ["ffprobe", "-v", "error", "-show_format", "-of", "json", clip],
                check=True, capture_output=True,
            )  # fmt: skip
            assert not shown.stderr
            tags = json.loads(shown.stdout)["format"]["tags"]
            assert tags["album"] == clip.name[:7]
            voice = clip.parent.name.partition(" (")[0]
            assert tags.get("artist", "") == voice
            content = clip.read_bytes()
            assert len(content) == clip.stat().st_size
            date = clip.name[:10].replace("-", "/")
            frames = content[tag_length(content[:10]) :]
            homes = (mount.path / "by-date" / date).glob("*/audio.mp3")
            assert any(home.read_bytes().endswith(frames) for home in homes)


@contextmanager
def media_server(folder: Path, directory: Path) -> Iterator[list[str]]:
    """Run MPD on a folder, and yield the beginning of a command line of mpc."""
    for program in ("mpd", "mpc"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    socket, config = directory / "mpd.socket", directory / "mpd.conf"
    (directory / "lists").mkdir(exist_ok=True)
    config.write_text(
        f'music_directory "{folder}"\nplaylist_directory "{directory}/lists"\n'
        f'db_file "{directory}/mpd.db"\nbind_to_address "{socket}"\nauto_update "no"\n'
        'audio_output {\n type "null"\n name "none"\n}\n'
    )
    log = (directory / "mpd.log").open("w")
    server = subprocess.Popen(["mpd", "--no-daemon", "--stderr", config], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield ["mpc", "--host", str(socket)]
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def test_mpd_shows_each_clip_once_and_a_second_scan_asks_for_nothing(server, tmp_path, binding):
    with mounted(server, tmp_path, binding, "-o", "tags") as mount:
        by_voice = mount.path / "listen" / "by-voice"
        with media_server(by_voice, tmp_path) as mpc:

            def run(*arguments: str) -> list[str]:
                done = subprocess.run(
                    [*mpc, *arguments], check=True, capture_output=True, text=True
                )
                return done.stdout.splitlines()

            run("update", "--wait")
            songs = run("listall")
            playable = {str(path.relative_to(by_voice)) for path in clips(by_voice)}
            raw = {name for name in playable if name.endswith((".pcm", ".ulaw", ".alaw"))}
            assert sorted(songs) == sorted(playable - raw)
            asked = requests(mount)
            assert asked <= ITEMS
            run("update", "--wait")
            assert requests(mount) == asked
            assert "Rachel" in run("list", "artist")
            folder = clips(by_voice)[-1].parent
            run("load", str((folder / "playlist.m3u8").relative_to(by_voice)))
            assert run("--format", "%file%", "playlist") == [
                str(path.relative_to(by_voice)) for path in clips(folder)
            ]
