"""Which paths can be mounted on, and what the mount table says about them."""

from __future__ import annotations

import pytest

from histfs.fuse import mountpoint
from histfs.fuse.binding import FuseUnavailable
from histfs.fuse.mountpoint import (
    Mounted,
    MountpointBusy,
    MountpointError,
    check_device,
    check_mountpoint,
    mounted_histfs,
    mounted_on,
    unmount,
)

HISTFS = Mounted("fuse.histfs", "elevenlabs:default")


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Put mounts into a table of our own: each a path, as the kernel escapes it, and a type."""
    path = tmp_path / "mountinfo"
    path.write_text("22 1 0:21 / /proc rw - proc proc rw\n")
    monkeypatch.setattr(mountpoint, "_MOUNTS", path)

    def add(where, kind="fuse.histfs", source="elevenlabs:default", optional="shared:1 master:2 "):
        line = f"36 35 0:42 / {where} rw,nosuid {optional}- {kind} {source} rw,user_id=0\n"
        with path.open("ab") as file:
            file.write(line.encode("utf-8", "surrogateescape"))

    return add


@pytest.fixture
def place(tmp_path):
    path = tmp_path / "place"
    path.mkdir()
    return path


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Make programs for unmounting, alone on the PATH; they note how they were called."""
    directory = tmp_path / "bin"
    directory.mkdir()
    called = tmp_path / "called"
    monkeypatch.setenv("PATH", str(directory))

    def add(name, status=0, said=""):
        script = f'#!/bin/sh\necho "{name}" "$@" >> {called}\necho "{said}" >&2\nexit {status}\n'
        (directory / name).write_text(script)
        (directory / name).chmod(0o755)
        return called

    return add


# The table


@pytest.mark.parametrize("optional", ["", "shared:1 ", "shared:1 master:2 "])
def test_a_mount_is_found_by_its_path(table, place, optional):
    table(place, optional=optional)
    assert mounted_on(place) == HISTFS
    assert mounted_on(place.parent) is None
    assert mounted_on(place / "below") is None


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a b", r"a\040b"),
        ("a\tb", r"a\011b"),
        ("a\nb", r"a\012b"),
        ("a\\b", r"a\134b"),
        (r"a\040b", r"a\134040b"),
        ("a#b", r"a\043b"),
        ("ä 音", r"ä\040音"),
        ("bytes\udcff", "bytes\udcff"),
        ("a - b", r"a\040-\040b"),
    ],
    ids=ascii,
)
def test_the_escapes_of_the_table_are_undone(table, tmp_path, name, escaped):
    table(f"{tmp_path}/{escaped}")
    assert mounted_on(tmp_path / name) == HISTFS


@pytest.mark.parametrize("odd", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"], ids=ascii)
def test_a_path_with_another_kind_of_line_break_is_one_line_of_the_table(table, tmp_path, odd):
    table(f"/mnt/of{odd}somebody")
    table(f"{tmp_path}/a{odd}b")
    table(tmp_path / "c")
    assert mounted_on(tmp_path / f"a{odd}b") == HISTFS
    assert mounted_on(tmp_path / "c") == HISTFS


def test_of_several_mounts_on_one_path_the_last_one_counts(table, place):
    table(place, "ext4", "/dev/sda1")
    table(place, "fuse.histfs", r"elevenlabs:a\040b")
    assert mounted_on(place) == Mounted("fuse.histfs", "elevenlabs:a b")


@pytest.mark.parametrize("path", ["link", "above/place", "place/.."], ids=str)
def test_a_mount_is_found_by_any_path_that_leads_to_it(table, tmp_path, place, path):
    (tmp_path / "link").symlink_to(place)
    (tmp_path / "above").symlink_to(tmp_path)
    table(tmp_path if path == "place/.." else place)
    assert mounted_on(tmp_path / path) == HISTFS


def test_every_histfs_is_found_and_nothing_else(table, tmp_path):
    assert mounted_histfs() == []
    table(f"{tmp_path}/b")
    table(f"{tmp_path}/sshfs", "fuse.sshfs")
    table(rf"{tmp_path}/a\040b")
    table(f"{tmp_path}/covered")
    table(f"{tmp_path}/covered", "ext4")
    assert mounted_histfs() == [tmp_path / "b", tmp_path / "a b"]


# Before mounting


def test_an_empty_directory_can_be_mounted_on(table, place):
    check_mountpoint(place, nonempty=False)


def test_a_directory_on_a_disk_of_its_own_can_be_mounted_on(table, place):
    table(place, "ext4", "/dev/sda1")
    check_mountpoint(place, nonempty=False)


def test_a_full_directory_can_be_mounted_on_when_that_is_said(table, place):
    (place / "file").write_text("")
    with pytest.raises(MountpointError, match=r"is not empty: .* -o nonempty"):
        check_mountpoint(place, nonempty=False)
    check_mountpoint(place, nonempty=True)


def test_a_missing_mountpoint_comes_with_the_command_that_makes_it(table, place):
    with pytest.raises(MountpointError, match=f"mkdir -p {place}/missing"):
        check_mountpoint(place / "missing", nonempty=True)


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_file_is_no_mountpoint(table, place, below):
    (place / "file").write_text("")
    with pytest.raises(MountpointError, match="is not a directory"):
        check_mountpoint(place / f"file{below}", nonempty=True)


@pytest.mark.parametrize("kind", ["fuse.histfs", "fuse.sshfs", "fuse"])
def test_a_place_that_is_taken_is_said_to_be(table, place, kind):
    table(place, kind, "somebody:there")
    with pytest.raises(MountpointError, match=r"somebody:there is mounted on .* already"):
        check_mountpoint(place, nonempty=True)


@pytest.mark.parametrize("there", [True, False])
def test_a_kernel_without_fuse_is_said_to_have_none(tmp_path, monkeypatch, there):
    monkeypatch.setattr(mountpoint, "_DEVICE", tmp_path if there else tmp_path / "fuse")
    if there:
        check_device()
    else:
        with pytest.raises(FuseUnavailable, match="modprobe fuse"):
            check_device()


# Unmounting


@pytest.mark.parametrize("kind", [None, "fuse.sshfs", "ext4"])
def test_only_a_histfs_is_unmounted(table, tools, place, kind):
    called = tools("fusermount3")
    if kind:
        table(place, kind)
    with pytest.raises(MountpointError, match="no histfs is mounted on"):
        unmount(place, lazy=True)
    assert not called.exists()


@pytest.mark.parametrize(
    ("there", "lazy", "line"),
    [
        (["fusermount3", "fusermount", "umount"], False, "fusermount3 -u {}"),
        (["fusermount", "umount"], False, "fusermount -u {}"),
        (["umount"], False, "umount {}"),
        (["fusermount3"], True, "fusermount3 -u -z {}"),
        (["umount"], True, "umount -l {}"),
    ],
)
def test_the_program_that_is_there_unmounts(table, tools, place, there, lazy, line):
    table(place)
    for name in there:
        called = tools(name)
    unmount(place, lazy)
    assert called.read_text().strip() == line.format(place)


def test_a_mount_that_is_in_use_for_a_moment_is_unmounted_after_it(table, tools, place, tmp_path):
    table(place)
    called = tools("fusermount3")
    refused = tmp_path / "refused"
    (tmp_path / "bin" / "fusermount3").write_text(
        f"#!/bin/sh\necho called >> {called}\n"
        f"[ -e {refused} ] || {{ : > {refused}; echo 'Device or resource busy' >&2; exit 1; }}\n"
    )
    unmount(place, lazy=False)
    assert called.read_text() == "called\n" * 2


def test_where_fusermount_fails_umount_is_tried(table, tools, place):
    table(place)
    tools("fusermount3", 1, "fusermount3: failed to open /etc/mtab: No such file or directory")
    called = tools("umount")
    unmount(place, lazy=True)
    assert called.read_text() == f"fusermount3 -u -z {place}\numount -l {place}\n"


def test_where_all_programs_fail_the_first_one_says_why(table, tools, place):
    place = place / "busy"
    place.mkdir()
    table(place)
    tools("fusermount3", 1, "fusermount3: the reason")
    tools("umount", 32, f"umount: {place}: must be superuser to unmount.")
    with pytest.raises(MountpointError, match="the reason") as caught:
        unmount(place, lazy=False)
    assert type(caught.value) is MountpointError


def test_a_message_that_the_program_translates_is_understood(
    table, tools, place, tmp_path, monkeypatch
):
    monkeypatch.setattr(mountpoint, "_BUSY_TIMEOUT", 0.2)
    table(place)
    tools("umount")
    (tmp_path / "bin" / "umount").write_text(
        "#!/bin/sh\n"
        "[ $LC_ALL = C ] && echo 'target is busy' >&2 || echo 'in Benutzung' >&2; exit 32\n"
    )
    with pytest.raises(MountpointBusy):
        unmount(place, lazy=False)


def test_without_a_program_it_says_what_to_install(table, place, tmp_path, monkeypatch):
    table(place)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(MountpointError, match="apt install fuse3"):
        unmount(place, lazy=False)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        ("fusermount: failed to unmount: Device or resource busy", MountpointBusy, "--lazy"),
        ("umount: /x: target is busy.", MountpointBusy, "--lazy"),
        ("fusermount: Operation\nnot permitted", MountpointError, "Operation not permitted"),
    ],
)
def test_why_it_can_not_be_unmounted_is_told_in_one_line(
    table, tools, place, error, kind, message, monkeypatch
):
    monkeypatch.setattr(mountpoint, "_BUSY_TIMEOUT", 0.2)
    table(place)
    tools("fusermount3", 1, error)
    with pytest.raises(kind, match=message) as caught:
        unmount(place, lazy=False)
    assert type(caught.value) is kind
    assert len(str(caught.value).splitlines()) == 1
