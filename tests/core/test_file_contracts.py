"""Each built-in file keeps the contract of item files that plugins keep."""

from __future__ import annotations

import pytest

from histfs.core.files import AudioFile, ItemFile, MetaFile, SummaryFile, TextFile
from histfs.core.files.attachment_files import AttachmentFile
from histfs.core.item import Attachment
from histfs.core.plugin_calls import PluginCalls
from histfs.core.plugin_isolation import isolated
from histfs.testing import FileContract


@pytest.mark.parametrize("kind", [AudioFile, MetaFile, SummaryFile, TextFile])
class TestBuiltIn(FileContract):
    @pytest.fixture
    def make(self, kind):
        return kind


class TestAttachment(FileContract):
    @pytest.fixture
    def make(self):
        return lambda context: AttachmentFile(context, Attachment("f/1", "a.pdf"), "a.pdf")


class TestFenced(FileContract):
    @pytest.fixture
    def make(self):
        return lambda context: isolated(
            TextFile(context), ItemFile, PluginCalls("the file text", 30)
        )
