"""The table of programs: what stands in it, and what a file adds."""

from __future__ import annotations

import pytest

from histfs.core.programs import Process, ProgramClass
from histfs.programs import program_table, shipped_rules
from histfs.settings import SettingsError


@pytest.fixture
def table_file(tmp_path):
    def write(text):
        path = tmp_path / "programs.toml"
        path.write_text(text)
        return path

    return write


def class_of(table, line):
    program, *_ = arguments = line.split()
    rule = table.rule_for(Process(program, program[:15], tuple(arguments)))
    return "default" if rule is None else rule.program_class.value


ROWS = """
[[program]]
name = "my-server"
argument = "*.wsgi"
class = "archiver"

[[program]]
name = "rclone"
class = "default"

[[program]]
name = "tumblerd"
class = "archiver"
"""


def test_the_rows_of_a_file_go_before_those_of_the_package(table_file):
    table = program_table(table_file(ROWS), None)
    assert class_of(table, "my-server /srv/histfs.wsgi") == "archiver"
    assert class_of(table, "my-server /srv/other") == "default"
    assert class_of(table, "rclone copy") == "default"
    assert class_of(table, "tumblerd") == "archiver"
    assert class_of(table, "bsdtar -c") == "archiver"
    assert class_of(table, "updatedb") == "crawler"


def test_a_list_of_crawlers_takes_the_place_of_the_packages(table_file):
    table = program_table(table_file(ROWS), ["x*", "bsdtar", "rclone"])
    assert class_of(table, "xyz") == class_of(table, "bsdtar") == "crawler"
    assert class_of(table, "updatedb") == "default"
    assert class_of(table, "rclone") == "default", "the file goes before the list"
    assert class_of(table, "cpio") == "archiver"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x", "not TOML"),
        ("x = 1", "nothing else"),
        ("program = 1", "nothing else"),
        ("program = [1]", "texts alone"),
        ('[[program]]\nclass = "crawler"', "needs a name"),
        ('[[program]]\nname = ""\nclass = "crawler"', "needs a name"),
        ('[[program]]\nname = "x"\nargument = ""\nclass = "crawler"', "no empty argument"),
        (
            '[[program]]\nname = "x"\nclass = "backup"',
            "crawler, archiver, player, listener, default",
        ),
        ('[[program]]\nname = "x"', "crawler, archiver, player, listener, default"),
        ('[[program]]\nname = 1\nclass = "crawler"', "texts alone"),
        ('[[program]]\nname = "x"\nclass = "crawler"\nkind = "x"', "has no kind"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name(table_file, text, why):
    path = table_file(text)
    with pytest.raises(SettingsError, match=why) as error:
        program_table(path, None)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="can't be read"):
        program_table(tmp_path / "none.toml", None)


def test_each_class_has_rows_of_the_package_and_no_row_stands_twice():
    rows = [(rule.name, rule.argument) for rule in shipped_rules()]
    assert len(rows) == len(set(rows))
    classes = {rule.program_class for rule in shipped_rules()}
    assert classes == set(ProgramClass)
