"""Files that another user could change or redirect are not trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from histfs.core.file_trust import (
    distrust_directory,
    distrust_links,
    distrust_owner,
    distrust_writers,
)

STRANGER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "cache"
    path.mkdir(parents=True)
    return path


def link(path: Path, target: Path | str, owner: int | None = None) -> Path:
    path.symlink_to(target)
    if owner is not None:
        os.lchown(path, owner, owner)
    return path


@pytest.mark.parametrize("rest", ["", "account", "not/there/yet"])
def test_a_link_that_the_user_made_is_followed(tmp_path, target, rest):
    assert distrust_links(link(tmp_path / "own", target) / rest) is None
    assert distrust_links(link(tmp_path / "relative", "data/../own") / rest) is None


@as_root
def test_a_link_of_another_user_is_named_wherever_it_stands(tmp_path, target):
    foreign = link(tmp_path / "foreign", target, STRANGER)
    paths = [
        foreign,
        foreign / "account",
        link(tmp_path / "own", "foreign"),
        tmp_path / "data" / ".." / "foreign",
        link(tmp_path / "longer", Path("data/../own/account")),
    ]
    for path in paths:
        refused = distrust_links(path)
        assert refused is not None, path
        assert f"{foreign}, a symbolic link of another user ({STRANGER})" in refused


def test_a_loop_of_links_is_left_to_the_kernel(tmp_path):
    link(tmp_path / "one", "other")
    assert distrust_links(link(tmp_path / "other", "one")) is None


@as_root
def test_a_directory_of_another_user_is_refused(target, monkeypatch):
    os.chown(target, STRANGER, STRANGER)
    assert f"{target} belongs to another user ({STRANGER})" in distrust_owner(target, target.stat())
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    assert distrust_directory(target) is None


def test_a_directory_of_root_is_trusted(target, monkeypatch):
    if target.stat().st_uid != 0:
        pytest.skip("this user's files are not root's")
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    assert distrust_directory(target) is None


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o775, 0o777, 0o720])
def test_a_directory_that_others_can_write_is_refused_with_advice(target, mode):
    target.chmod(mode)
    assert f"(mode {mode:04o}): run chmod go-w {target}" in (distrust_directory(target) or "")
    assert distrust_directory(target, writers=False) is None


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o1777, 0o2755])
def test_a_directory_that_others_can_not_change_is_trusted(target, mode):
    target.chmod(mode)
    assert distrust_directory(target) is None


def test_the_sticky_bit_of_a_file_has_no_effect(tmp_path):
    file = tmp_path / "file"
    file.touch()
    file.chmod(0o1666)
    assert distrust_writers(file, file.stat()) is not None
