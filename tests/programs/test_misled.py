"""Programs that histfs does not know, and that take an estimate for the size: they must fail.

They are archivers under other names, so that no row of the table of programs applies to them.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import shutil
import socket
import subprocess
import time
import urllib.request
from dataclasses import replace
from urllib.parse import quote

import pytest

from histfs.fuse import binding as fuse
from histfs.simulator import Simulator, SimulatorSettings, item_templates
from histfs.simulator.clip_bytes import mp3_clip
from tests.programs.test_archivers import items_of, run, wrong_clips
from tests.support.bindings import available
from tests.support.eventually import eventually
from tests.support.mounts import id_of, mounted

pytestmark = pytest.mark.fuse

#: Seconds after which the kernel shows an archiver no estimate that another process has asked for.
AGAIN = 1.5
#: A program's own name, what it runs under another one, and how that is unpacked.
UNKNOWN = {
    "bsdtar": ("{program} -cf {x} .", "tar -xf {x} -C {copy}"),
    "bsdcpio": ("find . | {program} -o > {x}", "cd {copy} && bsdcpio -id < {x}"),
    "cpio": ("find . | {program} -o -H newc > {x}", "cd {copy} && cpio -id < {x}"),
    "xorriso": (
        "rm -f {x}.iso; {program} -outdev {x}.iso -map . /",
        "osirrox -indev {x}.iso -extract / {copy} && chmod -R u+w {copy}",
    ),
}
#: Reads as many bytes as stat has shown, in one call or in several.
SCRIPT = """
import os, sys
for path in sys.argv[2:]:
    size = os.stat(path).st_size
    file = os.open(path, os.O_RDONLY)
    left, parts = size, []
    while left and (part := os.read(file, min(left, int(sys.argv[1])))):
        parts.append(part)
        left -= len(part)
    os.close(file)
    os.write(1, b"".join(parts))
"""
#: The same by Python's buffers: the last request of a clip does not end at the estimate.
BUFFERED = """
import os, sys
shown = {path: os.stat(path).st_size for path in sys.argv[1:]}
for path, left in shown.items():
    with open(path, "rb") as file:
        while left and (part := file.read(min(left, PART))):
            sys.stdout.buffer.write(part)
            left -= len(part)
"""
#: A script that keeps to the size of its stat, as tarfile does, which sees the end too early.
TARFILE = "import sys, tarfile\nwith tarfile.open(sys.argv[1], 'w') as tar: tar.add('.')\n"
#: Right programs that call stat for the path first: {copy} is where they copy to.
RIGHT = {
    "cp": "cp -r . {copy}",
    "rsync": "rsync -a . {copy}",
    "tar": "tar -cf - . | tar -xf - -C {copy}",
    "zip": "zip -qr {x}.zip . && unzip -q {x}.zip -d {copy}",
    "bash": "find . -type d | (cd {copy} && xargs mkdir -p);"
    " find . -name 'audio.*' | while read f; do"
    " [ -s $f ] && cat < $f > {copy}/$f || exit 1; done",
    "dd": "find . -type d | (cd {copy} && xargs mkdir -p);"
    " find . -name 'audio.*' | while read f; do"
    " [ -s $f ] && dd status=none bs=1000 if=$f of={copy}/$f || exit 1; done",
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize("program", UNKNOWN)
def test_an_unknown_program_that_keeps_to_the_estimate_fails_and_is_right_the_next_time(
    simulator, tmp_path, binding, program
):
    pack, unpack = UNKNOWN[program]
    copy, renamed = tmp_path / "copy", tmp_path / "packer"
    copy.mkdir()
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    shutil.copy(shutil.which(program), renamed)
    names = {"program": renamed, "x": tmp_path / "x", "copy": copy}
    with mounted(simulator, tmp_path, binding) as mount:
        assert run(pack.format(**names), mount.path / "by-date") != 0
        log = mount.log.read_text()
        assert "packer (process" in log
        assert "an estimate that stat has shown" in log
        time.sleep(AGAIN)
        assert run(pack.format(**names), mount.path / "by-date") == 0
    assert run(unpack.format(**names), tmp_path) == 0
    assert wrong_clips(simulator, copy) == []


@pytest.mark.parametrize("buffer", [512, 100_000_000])
def test_a_program_of_ten_lines_fails_or_reads_each_clip_right(
    simulator, tmp_path, binding, buffer
):
    script = tmp_path / "copier.py"
    script.write_text(SCRIPT)
    with mounted(simulator, tmp_path, binding) as mount:
        audio = mount.audio()
        line = ["python3", script, str(buffer), *audio]
        first = subprocess.run(line, capture_output=True, timeout=100)
        assert first.returncode != 0
        time.sleep(AGAIN)
        again = subprocess.run(line, capture_output=True, timeout=100)
    assert again.returncode == 0
    clips = [bytes(simulator.library.clip(id_of(each.parent))) for each in audio]
    assert again.stdout == b"".join(clips)


@pytest.fixture
def long_clips(monkeypatch):
    """A server whose clips have more than a hundred kilobytes."""

    def mp3(*arguments, **options):
        clip = mp3_clip(*arguments, **options)
        return replace(clip, body_length=clip.body_length + 150_001)

    monkeypatch.setattr(item_templates, "mp3_clip", mp3)
    settings = SimulatorSettings(items=12, days=20, latency=0.02)
    with Simulator(settings) as running:
        yield running


@pytest.fixture(params=[0.5, 1, 2], ids=["half", "same", "twice"])
def scaled(request, monkeypatch):
    """A server whose clips are as large as their estimates, or half or nearly twice as large."""

    def mp3(*arguments, **options):
        clip = mp3_clip(*arguments, **options)
        return replace(clip, body_length=int(clip.body_length * request.param * 0.97))

    monkeypatch.setattr(item_templates, "mp3_clip", mp3)
    settings = SimulatorSettings(items=40, days=20, latency=0.02)
    with Simulator(settings) as running:
        yield running


def test_a_script_that_uses_tarfile_fails_whatever_the_size_of_the_clips(scaled, tmp_path, binding):
    script = tmp_path / "packer.py"
    script.write_text(TARFILE)
    with mounted(scaled, tmp_path, binding) as mount:
        assert run(f"python3 {script} {tmp_path}/x", mount.path / "by-date") != 0


def test_git_under_another_name_fails_whatever_the_size_of_the_clips(scaled, tmp_path, binding):
    """It maps what is larger than 32 KB."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    shutil.copy(shutil.which("git"), tmp_path / "packer")
    line = f"{tmp_path}/packer init -q {tmp_path}/x &&"
    line += f" {tmp_path}/packer --git-dir {tmp_path}/x/.git --work-tree . add -A ."
    with mounted(scaled, tmp_path, binding) as mount:
        assert run(line, mount.path / "by-date") != 0


def test_a_server_that_keeps_to_the_size_of_its_stat_sends_no_clip_that_looks_whole(
    scaled, tmp_path, binding
):
    if shutil.which("busybox") is None or shutil.which("curl") is None:
        pytest.skip("busybox and curl are not installed")
    shutil.copy(shutil.which("busybox"), tmp_path / "packer")
    with mounted(scaled, tmp_path, binding) as mount:
        port = free_port()
        server = subprocess.Popen(
            ["busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", mount.path],
            executable=tmp_path / "packer",
        )
        try:
            line = ["curl", "-s", "--retry-connrefused", "--retry", "9", "-o", tmp_path / "got"]
            ends = {}
            for audio in mount.audio():
                url = f"http://127.0.0.1:{port}/{quote(str(audio.relative_to(mount.path)))}"
                status = subprocess.run([*line, url], timeout=100).returncode
                is_right = (tmp_path / "got").read_bytes() == bytes(
                    scaled.library.clip(id_of(audio.parent))
                )
                ends[status, is_right] = ends.get((status, is_right), 0) + 1
        finally:
            server.kill()
            server.wait()
    assert (0, False) not in ends
    assert any(status for status, _ in ends)


@pytest.mark.parametrize("program", RIGHT)
def test_a_program_that_reads_to_the_end_is_right(simulator, tmp_path, binding, program):
    copy = tmp_path / "copy"
    copy.mkdir()
    with mounted(simulator, tmp_path, binding) as mount:
        line = RIGHT[program].format(copy=copy, x=tmp_path / "x")
        assert run(line, mount.path / "by-date", program) == 0
        assert "estimate_watch" not in mount.log.read_text()
    assert list(items_of(copy))
    assert wrong_clips(simulator, copy) == []


def test_the_kernel_calls_for_the_close_of_a_watched_file_alone(simulator, tmp_path):
    """It costs a call; libfuse 3.11 can tell the kernel."""
    with mounted(simulator, tmp_path, available("mfusepy"), "-d") as mount:
        item = mount.items()[0]
        if fuse.load().version < (3, 11):
            pytest.skip("this libfuse can't")
        (item / "text.txt").read_bytes()
        assert "FLUSH" not in mount.log.read_text()
        [audio] = item.glob("audio.[!s]*")
        assert audio.stat().st_size != len(audio.read_bytes())
        assert "FLUSH" in mount.log.read_text()


@pytest.fixture
def small_clips(monkeypatch):
    """A server whose clips have forty kilobytes, but for a few that have more."""

    def mp3(*arguments, **options):
        clip = mp3_clip(*arguments, **options)
        odd = next(number) % 5 == 0
        return replace(clip, body_length=90_001 if odd else 41_081)

    number = itertools.count()
    monkeypatch.setattr(item_templates, "mp3_clip", mp3)
    settings = SimulatorSettings(items=40, days=20, latency=0.02)
    with Simulator(settings) as running:
        yield running


#: Reads as many bytes as stat has shown, by buffers: {0} is how many at once.
BY_BUFFERS = {
    "python": BUFFERED.replace("PART", "{0}"),
    "perl": "for (@ARGV) { $n = -s; open F, '<:raw', $_ or die $!;"
    " while ($n > 0 and $r = read F, $b, $n < {0} ? $n : {0}) {"
    " print $b; $n -= $r } close F }",
}


@pytest.mark.parametrize("language", BY_BUFFERS)
def test_small_parts_through_a_buffer_cut_no_small_clip_without_an_error(
    small_clips, tmp_path, binding, language
):
    script = tmp_path / "copier"
    script.write_text(BY_BUFFERS[language].replace("{0}", "4096"))
    line = ["python3" if language == "python" else "perl", script]
    if shutil.which(line[0]) is None:
        pytest.skip(f"{line[0]} is not installed")
    with mounted(small_clips, tmp_path, binding) as mount:
        audio = mount.audio()
        done = subprocess.run([*line, *audio], capture_output=True, timeout=100)
    clips = [bytes(small_clips.library.clip(id_of(each.parent))) for each in audio]
    assert done.returncode != 0 or done.stdout == b"".join(clips)


@pytest.mark.parametrize("reading", ["whole", "in parts"])
def test_a_script_that_reads_by_its_stat_through_a_buffer_cuts_no_clip_without_an_error(
    long_clips, tmp_path, binding, reading
):
    script = tmp_path / "copier.py"
    part = "1 << 30" if reading == "whole" else "16384"
    script.write_text(BUFFERED.replace("PART", part))
    with mounted(long_clips, tmp_path, binding) as mount:
        audio = mount.audio()
        first = subprocess.run(["python3", script, *audio], capture_output=True, timeout=100)
        assert first.returncode != 0
        assert b"Input/output error" in first.stderr
        time.sleep(AGAIN)
        again = subprocess.run(["python3", script, *audio], capture_output=True, timeout=100)
    assert again.returncode == 0
    clips = [bytes(long_clips.library.clip(id_of(each.parent))) for each in audio]
    assert again.stdout == b"".join(clips)


#: Announces the size of its stat, and sends what it reads, as bottle, Twisted and PHP do.
SERVER = """
import http.server, os, shutil, sys, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = sys.argv[2] + urllib.parse.unquote(self.path)
        size = os.stat(path).st_size
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        with open(path, "rb") as file:
            shutil.copyfileobj(file, self.wfile)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_server_that_announces_the_size_of_its_stat_cuts_no_clip_without_an_error(
    scaled, tmp_path, binding
):
    script, port = tmp_path / "server.py", free_port()
    script.write_text(SERVER)
    with mounted(scaled, tmp_path, binding) as mount:
        server = subprocess.Popen(
            ["python3", script, str(port), mount.path], stderr=subprocess.DEVNULL
        )
        try:
            assert eventually(lambda: socket.create_connection(("127.0.0.1", port)).close() is None)
            for audio in mount.audio()[:12]:
                url = f"http://127.0.0.1:{port}/{quote(str(audio.relative_to(mount.path)))}"
                with contextlib.suppress(http.client.IncompleteRead):
                    got = urllib.request.urlopen(url, timeout=60).read()
                    assert got == bytes(scaled.library.clip(id_of(audio.parent)))
        finally:
            server.kill()
            server.wait()
