import os

import pytest
from recordings.dictations import open_dictations
from recordings.files import WordsFile
from recordings.source import Recordings, open_recordings
from recordings.views import ByLength

from histfs.core.errors import HistfsError, KeyRefused, Unreachable
from histfs.core.secret import Secret
from histfs.core.source import Query
from histfs.core.source_context import SourceContext
from histfs.testing import FileContract, SourceContract, ViewContract, everything


class TestRecordings(SourceContract):
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "talks").mkdir()
        for number in range(5):
            path = tmp_path / ("talks" if number % 2 else "") / f"talk {number}.mp3"
            path.write_bytes(b"audio" * (number + 1))
            path.with_suffix(".txt").write_text(f"This is talk number {number}")
            os.utime(path, (1_714_650_306 + number // 2, 1_714_650_306 + number // 2))
        (tmp_path / os.fsdecode(b"caf\xe9.mp3")).write_bytes(b"not UTF-8")
        os.utime(tmp_path / os.fsdecode(b"caf\xe9.mp3"), (1_714_650_300, 1_714_650_300))
        (tmp_path / "notes.pdf").write_bytes(b"no audio")
        return tmp_path

    @pytest.fixture
    def source(self, folder):
        return Recordings(folder)

    def test_all_audio_below_the_folder_is_listed_with_what_was_said(self, source):
        records = everything(source)
        ids = ["talk 4.mp3", "talk 2.mp3", "talks/talk 3.mp3", "talk 0.mp3", "talks/talk 1.mp3"]
        assert [record.item.id for record in records] == [*ids, "caf\udce9.mp3"]
        assert source.describe(records[0].raw).text == "This is talk number 4"

    def test_a_folder_that_is_gone_is_an_error_and_not_empty(self, folder, source):
        folder.rename(folder.with_name("elsewhere"))
        with pytest.raises(Unreachable, match="No such file"):
            source.list(Query())


class TestByLength(ViewContract):
    @pytest.fixture
    def make(self):
        return ByLength


class TestWordsFile(FileContract):
    @pytest.fixture
    def make(self):
        return WordsFile


def context(key="", **options):
    return SourceContext("me", "", Secret(key), timeout=30, connections=8, options=options)


def test_without_a_folder_it_says_what_to_write():
    with pytest.raises(HistfsError, match=r"\[sources.recordings\] folder"):
        open_recordings(context())


def test_a_token_opens_its_own_account_alone(tmp_path):
    for name in ("ann", "bob"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".token").write_text(f"token-of-{name}\n")
        (tmp_path / name / f"{name}.mp3").write_bytes(b"audio")
    source = open_dictations(context("token-of-bob", folder=str(tmp_path)))
    assert [record.item.id for record in everything(source)] == ["bob.mp3"]
    with pytest.raises(KeyRefused):
        open_dictations(context("token-of-eve", folder=str(tmp_path)))
