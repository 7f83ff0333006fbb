"""The registry: what is installed, what can't be loaded, and what is chosen."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest

from histfs import plugins
from histfs.core.errors import HistfsError
from histfs.core.views import ByDate
from histfs.plugins import FILES, SOURCES, VIEWS, UnknownPlugin
from tests.support.packages import add_package


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Add packages to those that are installed."""
    monkeypatch.syspath_prepend(tmp_path)

    def add(name, points, module=""):
        monkeypatch.delitem(sys.modules, name, raising=False)
        add_package(tmp_path, name, points, module)
        plugins.installed.cache_clear()

    plugins.installed.cache_clear()
    yield add
    plugins.installed.cache_clear()


def found(kind, name):
    return [plugin for plugin in plugins.installed() if (plugin.kind, plugin.name) == (kind, name)]


def test_all_that_histfs_brings_can_be_loaded():
    own = [plugin for plugin in plugins.installed() if plugin.own]
    assert [plugin.name for plugin in own if plugin.error or plugin.make is None] == []
    assert {plugin.kind for plugin in own} == {SOURCES, VIEWS, FILES}


def test_another_packages_plugin_is_there_by_its_name(add):
    add("foreign_a", {"histfs.files": {"duration": "foreign_a:make"}}, "def make(library): ...")
    (plugin,) = found(FILES, "duration")
    assert (plugin.package, plugin.own, plugin.error) == ("foreign_a 1.5", False, None)
    assert plugin.make.__module__ == "foreign_a"
    assert plugins.foreign(FILES) == [plugin]
    assert plugins.choose(FILES, ["duration", "text"])[0] == plugin
    assert str(plugin) == "the file duration of foreign_a 1.5"


@pytest.mark.parametrize(
    ("module", "value", "error"),
    [
        ("import not_there", "foreign_b:x", "ModuleNotFoundError: No module named 'not_there'"),
        ("x = 1 +", "foreign_b:x", "SyntaxError: invalid syntax (foreign_b.py, line 1)"),
        ("raise OSError('one\\ntwo')", "foreign_b:x", "OSError: one"),
        ("raise SystemExit('no python')", "foreign_b:x", "SystemExit: no python"),
        ("raise ValueError('\\x1b[31m')", "foreign_b:x", "ValueError: \\x1b[31m"),
        ("y = 1", "foreign_b:x", "AttributeError: module 'foreign_b' has no attribute 'x'"),
        ("x = 1", "foreign_b:x", "foreign_b:x can't be called"),
    ],
    ids=["import", "syntax", "two lines", "exit", "escape", "no such name", "a number"],
)
def test_what_cant_be_loaded_says_why_in_one_line(add, monkeypatch, module, value, error):
    add("foreign_b", {"histfs.views": {"by-mood": value}}, module)
    (plugin,) = found(VIEWS, "by-mood")
    assert (plugin.make, plugin.error) == (None, error)
    assert found(VIEWS, "by-date")[0].make is ByDate


@pytest.mark.parametrize("name", ["by mood", "by/mood", "..", "a" * 21, "größe"])
def test_a_name_that_no_folder_should_have_is_refused(add, name):
    add("foreign_c", {"histfs.views": {name: "foreign_c:x"}}, "x = print")
    (plugin,) = plugins.foreign(VIEWS)
    assert (plugin.make, plugin.error) == (None, "a name is 1 to 20 letters, digits, - and _")


def test_of_several_with_one_name_histfs_has_it_and_then_the_first_package(add):
    names = {"histfs.views": {"by-date": "{0}:x", "by-mood": "{0}:x"}}
    for package in ("foreign_e", "foreign_d"):
        points = {g: {n: v.format(package) for n, v in p.items()} for g, p in names.items()}
        add(package, points, "def x(zone): ...")
    (date,) = plugins.choose(VIEWS, ["by-date"])
    (mood,) = plugins.choose(VIEWS, ["by-mood"])
    assert (date.make, mood.make.__module__) == (ByDate, "foreign_d")
    own = date.package
    assert [(p.name, p.package, p.error) for p in plugins.foreign(VIEWS)] == [
        ("by-date", "foreign_d 1.5", f"{own} has this name"),
        ("by-mood", "foreign_d 1.5", None),
        ("by-date", "foreign_e 1.5", f"{own} has this name"),
        ("by-mood", "foreign_e 1.5", "foreign_d 1.5 has this name"),
    ]


def test_plugins_are_chosen_in_the_order_of_their_names_each_once():
    chosen = plugins.choose(VIEWS, ["by-voice", "by-date", "by-voice"])
    assert [plugin.name for plugin in chosen] == ["by-voice", "by-date"]


def test_choosing_what_is_not_there_says_what_is():
    with pytest.raises(UnknownPlugin, match=r"no view 'by-mood.*': choose of .*by-date, "):
        plugins.choose(VIEWS, ["by-mood\n"])


def test_without_its_own_plugins_histfs_says_that_it_is_not_installed(add, monkeypatch):
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints(()))
    with pytest.raises(HistfsError, match="pip install"):
        plugins.installed()
