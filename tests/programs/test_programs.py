"""Programs that read a history, on real mounts of clips that were never opened."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess

import pytest

from tests.support.mounts import id_of, mounted

pytestmark = pytest.mark.fuse

AUDIO = "GET /v1/history/{id}/audio"


@pytest.fixture
def mount(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding) as mount:
        yield mount


def run(*line, **options):
    """Run a program; it must succeed. A missing one skips the test, but not in CI."""
    if shutil.which(line[0]) is None and os.environ.get("HISTFS_REQUIRE_FUSE") != "1":
        pytest.skip(f"{line[0]} is not installed")
    done = subprocess.run(
        list(map(str, line)), check=False, capture_output=True, text=True, timeout=100, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def assert_right(simulator, directory):
    """Each clip below a directory is the server's own."""
    copies = list(directory.glob("**/by-date/*/*/*/*/audio.[!s]*"))
    assert len(copies) == len(simulator.library)
    for copy in copies:
        assert copy.read_bytes() == bytes(simulator.library.clip(id_of(copy.parent)))


def test_ffprobe_and_mpv_play_a_clip(mount):
    mp3, wav = (next(a for a in mount.audio() if a.suffix == suffix) for suffix in (".mp3", ".wav"))
    for audio, codec in ((mp3, "mp3"), (wav, "pcm_s16le")):
        found = run("ffprobe", "-v", "error", "-show_streams", "-of", "json", audio)
        assert json.loads(found.stdout)["streams"][0]["codec_name"] == codec
        run("mpv", "--no-config", "--no-video", "--ao=null", "--length=0.2", audio)


def test_tar_and_cp_copy_byte_for_byte(mount, simulator, tmp_path):
    run("tar", "-cf", tmp_path / "a.tar", "-C", mount.path, "by-date")
    (tmp_path / "untarred").mkdir()
    run("tar", "-xf", tmp_path / "a.tar", "-C", tmp_path / "untarred")
    assert_right(simulator, tmp_path / "untarred")


def test_cp_copies_a_never_opened_tree_with_its_links(mount, simulator, tmp_path):
    run("cp", "-a", mount.path, tmp_path / "copy")
    assert_right(simulator, tmp_path / "copy")
    for link in (tmp_path / "copy" / "by-voice").glob("*/*"):
        assert link.is_symlink()
        assert (link / "text.txt").exists()


def test_rclone_copies_and_finds_no_difference(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding, "--sizes", "exact") as mount:
        source = mount.path / "by-date"
        rclone = ["rclone", "--config", tmp_path / "none"]  # rclone 1.53 reads "" as the directory
        run(*rclone, "copy", source, tmp_path / "copy" / "by-date")
        run(*rclone, "check", "--download", source, tmp_path / "copy" / "by-date")
    assert_right(simulator, tmp_path / "copy")


def test_zip_and_grep_read_it(mount, tmp_path):
    run("zip", "-qr", tmp_path / "a.zip", ".", cwd=mount.path / "by-date")
    run("zip", "-T", tmp_path / "a.zip")
    assert run("grep", "-rl", "histfs", mount.path / "by-date").stdout.count("text.txt") > 0


def test_a_backup_after_a_remount_reads_nothing_anew(simulator, tmp_path, binding):
    restic = {**os.environ, "RESTIC_PASSWORD": "x", "RESTIC_CACHE_DIR": str(tmp_path / "rc")}
    borg = {
        **os.environ,
        "BORG_BASE_DIR": str(tmp_path / "borg-home"),
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
    }
    repo = tmp_path / "borg"
    run("restic", "init", "-q", "-r", tmp_path / "restic", env=restic)
    run("borg", "init", "-e", "none", repo, env=borg)

    def back_up(number):
        with mounted(simulator, tmp_path, binding) as mount:
            made = run(
                "restic", "backup", "--json", "-r", tmp_path / "restic", mount.path, env=restic
            )
            listed = run(
                "borg", "create", "--list", "--filter", "AMCE", f"{repo}::{number}", mount.path,
                env=borg,
            )  # fmt: skip
            newest = mount.items()[-1].name
            return json.loads(made.stdout.splitlines()[-1]), listed.stderr.splitlines(), newest

    back_up(1)
    simulator.counts.reset()
    summary, changed, newest = back_up(2)
    assert (summary["files_new"], summary["files_changed"]) == (0, 0)
    # borg never trusts the newest files of all (its FAQ: "files with the newest ctime").
    assert [line for line in changed if newest not in line] == []
    assert simulator.counts[AUDIO] == 0


def test_diff_sees_the_same_in_the_backup(mount, tmp_path):
    run("rsync", "-a", f"{mount.path}/", tmp_path / "backup")
    compared = filecmp.dircmp(mount.path / "by-date", tmp_path / "backup" / "by-date")
    assert (compared.left_only, compared.right_only, compared.diff_files) == ([], [], [])
    run("diff", "-r", "--no-dereference", mount.path, tmp_path / "backup")
