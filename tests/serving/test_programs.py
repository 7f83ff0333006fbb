"""Real clients: what they copy is what the server has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.serving.conftest import DEPTH_1


def program(name: str) -> str:
    """Return the path of a program; skip without it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*line: object, **more: object) -> str:
    env = {**os.environ, "RCLONE_CONFIG": "/dev/null", "no_proxy": "*"}
    done = subprocess.run(
        list(map(str, line)), env=env, capture_output=True, text=True, timeout=90, **more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def contents(tree):
    """Return the files below a path of the tree, after another program had them."""

    def contents(path: str) -> dict[str, bytes]:
        found = {}
        for folder in tree.ls(path):
            for name in tree.ls(f"{path}/{folder}"):
                with tree.open(f"{path}/{folder}/{name}") as file:
                    found[f"{folder}/{name}"] = file.read()
        return found

    return contents


def copied(root: Path) -> dict[str, bytes]:
    files = (file for file in root.rglob("*") if file.is_file())
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


@pytest.mark.parametrize("formats", ["honest", "untold"])
def test_rclone_copies_clips_that_nobody_has_fetched_the_first_time(
    formats, client, tmp_path, contents
):
    source = [":webdav:by-voice/Rachel", "--webdav-url", client.url]
    once = ["--retries", "1", "--low-level-retries", "1"]
    run(program("rclone"), "copy", *once, *source, tmp_path / "copy")
    assert copied(tmp_path / "copy") == contents("/by-voice/Rachel")
    again = run(program("rclone"), "copy", "-v", *once, *source, tmp_path / "copy")
    assert "There was nothing to transfer" in again


def test_rclone_copies_by_plain_http_from_the_pages(client, tmp_path, contents):
    line = ["copy", "--retries", "1", ":http:by-voice/Adam", "--http-url", client.url]
    run(program("rclone"), *line, tmp_path / "copy")
    assert copied(tmp_path / "copy") == contents("/by-voice/Adam")


def test_curl_goes_on_with_a_part(client, audio, tmp_path, tree):
    with tree.open(audio) as file:
        content = file.read()
    part = tmp_path / "part"
    part.write_bytes(content[:1000])
    url = client.url + client.ask("HEAD", audio).request.path_url.lstrip("/")
    run(program("curl"), "--fail", "--silent", "--continue-at", "-", "--output", part, url)
    assert part.read_bytes() == content


def test_cadaver_lists_and_gets(serve, audio, tmp_path, tree):
    client, script = serve(exact=False), tmp_path / "script"
    above = audio.rpartition("/")[0]
    script.write_text(f"ls {above}\nget {audio} {tmp_path}/got\nquit\n")
    with script.open() as commands:
        run(program("cadaver"), client.url, stdin=commands)
    with tree.open(audio) as file:
        assert (tmp_path / "got").read_bytes() == file.read()


def test_a_mount_by_davfs2_reads_clips_and_shows_their_sizes(client, tmp_path, item, tree):
    mount, place = program("mount.davfs"), tmp_path / "mnt"
    if os.geteuid() != 0 or not Path("/dev/fuse").exists():
        pytest.skip("only root mounts")
    place.mkdir()
    run(mount, client.url, place, "-o", "ro", input="\n\n")
    try:
        for name in tree.ls(item):
            file = place / item.lstrip("/") / name
            size, content = file.stat().st_size, file.read_bytes()
            with tree.open(f"{item}/{name}") as original:
                assert content == original.read()
            assert size == len(content)
    finally:
        run("umount", place)


def test_a_recursive_client_meets_no_loop(client, tree):
    """Each directory that a client can reach is an item, or above items, by at most seven names."""
    left, seen = ["/"], 0
    while left:
        path = left.pop()
        assert path.count("/") <= 8, path
        if "_" in path.rstrip("/").rpartition("/")[2]:
            continue  # an item: it holds files
        found = client.list(path)
        seen += len(found)
        left += [each for each in found if each.endswith("/")]
    assert seen > 200
    assert client.ask("PROPFIND", "/by-voice/", headers=DEPTH_1).status_code == 207
