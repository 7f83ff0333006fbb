"""Which sources, views and files there are: chosen by their names, and put in order."""

from __future__ import annotations

import os

import pytest

from tests.support.mounts import mounted


@pytest.fixture
def mount(run, place):
    """Try to mount, in the background: an unknown name is reported before the fork."""
    return lambda *arguments, **env: run("mount", place, *arguments, **env)


@pytest.mark.parametrize("kind", ["view", "file", "source"])
def test_an_unknown_name_is_one_line_wherever_it_is_given(mount, tmp_path, kind):
    file = tmp_path / "config.toml"
    file.write_text(f"{kind}s = ['no-such']\n")
    done = mount("--config", file)
    assert done.status == 78
    assert done.line.startswith(f"histfs: {file}:1: {kind}s: there is no {kind} 'no-such'")
    for done in (
        mount(f"--{kind}s", "no-such"),
        mount("-o", f"ro,{kind}s=no-such"),
        mount(**{f"HISTFS_{kind.upper()}S": "no-such"}),
    ):
        assert done.status == 2
        assert done.line.startswith(f"histfs: there is no {kind} 'no-such': choose of ")


def test_a_table_for_an_unknown_source_is_one_line(mount, tmp_path):
    (tmp_path / "config.toml").write_text("[sources.no-such]\n")
    done = mount("--config", tmp_path / "config.toml")
    assert done.status == 2
    assert done.line.startswith("histfs: there is no source 'no-such': choose of ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--views", ""], "--views '': give names"),
        (["--files", "text+"], "--files 'text+': give names"),
        (["-o", "sources="], "-o sources '': give names"),
        (["-o", "views"], "-o views '': give names"),
    ],
)
def test_an_empty_name_is_one_line(mount, arguments, message):
    done = mount(*arguments)
    assert done.status == 2
    assert message in done.line


def test_what_is_chosen_nearer_by_counts_and_on_a_par_the_mount_option(mount, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(
        """
        options = "views=of-options"
        views = "of-top"
        [profiles.work]
        views = "of-profile"
        """
    )
    config = ["--config", file]
    both = ["-o", "views=of-o", "--views", "of-flag"]
    assert "'of-options'" in mount(*config).line
    assert "'of-profile'" in mount(*config, "--profile", "work").line
    assert "'of-env'" in mount(*config, "--profile", "work", HISTFS_VIEWS="of-env").line
    assert "'of-flag'" in mount(*config, "--views", "of-flag").line
    assert "'of-o'" in mount(*config, "-o", "views=of-o").line
    assert "'of-o'" in mount(*config, *both).line


@pytest.mark.fuse
def test_views_that_do_not_show_every_item_are_refused(spawn, place, server):
    done = spawn("mount", "-f", place, "--base-url", server.base_url, "--views", "search")
    assert done.status == 2
    assert "add by-date" in done.line


@pytest.mark.fuse
def test_a_mount_shows_what_is_chosen_in_that_order(simulator, tmp_path, binding):
    chosen = ["-o", "views=by-day+by-model+by-day,sources=history", "--files", "text+audio"]
    with mounted(simulator, tmp_path, binding, *chosen) as mount:
        assert os.listdir(mount.path) == ["by-day", "by-model"]
        items = list((mount.path / "by-day").glob("*/*"))
        assert len(items) == 60
        for item in items:
            first, second = os.listdir(item)
            assert (first, second.partition(".")[0]) == ("text.txt", "audio")
        models = list((mount.path / "by-model").glob("*/*"))
        assert {path.resolve() for path in models} <= set(items)
        assert all(path.is_symlink() for path in models)


@pytest.mark.fuse
@pytest.mark.parametrize("binding", ["mfusepy"], indirect=True)
def test_a_source_that_is_not_the_history_has_its_folder_alone(simulator, tmp_path, binding):
    with mounted(simulator, tmp_path, binding, "--sources", "conversations") as mount:
        assert os.listdir(mount.path) == ["conversations"]
    assert simulator.counts["GET /v1/history"] == 0
