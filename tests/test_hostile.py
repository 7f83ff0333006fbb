"""A server that means harm: nothing that it sends leaves its place, or hides something else.

Whatever the fields of an item hold, its names are safe, and so are the paths and the URLs that are
made of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import stat
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
import requests
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from histfs.audio.disk_cache import DiskCache
from histfs.catalog.catalog import Catalog
from histfs.cli.trash import trash as trash_command
from histfs.core.deletion import Deletions
from histfs.core.errors import Rejected
from histfs.core.file_context import FileContext
from histfs.core.files import AudioFile, MetaFile, TextFile
from histfs.core.item import Item, Record
from histfs.core.name_forms import is_audio_name, key_in
from histfs.core.names import NAME_MAX, item_name, key_of
from histfs.core.nodes import BytesFile
from histfs.core.single_flight import SingleFlight
from histfs.core.times import LATEST, Zone
from histfs.core.tree import Tree
from histfs.core.views import ByDate, BySource, ByVoice
from histfs.core.waiting import Waiter
from histfs.sources.elevenlabs.error_responses import error_from_response
from histfs.sources.elevenlabs.history import HistorySource
from histfs.sources.elevenlabs.history_objects import details_of, records_of
from histfs.sources.elevenlabs.json_parsing import parse_lenient
from histfs.trash import Trash
from histfs.trash.trash_archive import TrashArchive
from tests.core.fakes import FakeAudio
from tests.support.memory import MemorySource
from tests.support.world import world_at

UTC = Zone("UTC")
VIEWS = ("by-date", "by-voice", "by-source")
#: When the objects are read.
NOW = 1_760_000_000.0
#: What lies in the root of an account's cache that holds no audio.
CATALOG = {"scan.lock", *(f"catalog.sqlite{end}" for end in ("", "-wal", "-shm", ".lock"))}

#: What has led programs astray.
WICKED = [
    # steps and roots
    ".", "..", "...", "/", "//", "../../x", "/etc/passwd", "a/b", "a\\b", "..\\..\\x", "~", "~root",
    # ours
    ".histfs", "by-date", "audio.mp3", "meta.json", "entry.json", "(no voice)", "(no source)",
    "2024-05-02T11-45-06_hello_x", "_", "__", "a_b_c", "20240502T114506Z_x", "~2",
    # what keys are escaped with
    "%", "%%", "%2F", "%2f", "%252F", "%-", "%2E%2E", "a%2Fb", "%C3%A9", "%-" + "0" * 64,
    # what ends a name, a line, or a title; what a terminal obeys
    "\0", "a\0b", "\n", "a\r\nb", "\t", "\x07", "\x1b[31m", "\x1b]0;owned\x07", "\x9b31m", "\x7f",
    "\x85", "\u2028", "\u2029",
    # what is not seen, or seen elsewhere
    "\u202egpj.exe", "\u2066x\u2069", "\u200b", "\u200d", "\ufeff", "\xad", "\u3000", " ", "  a ",
    "\ud800", "\udfff", "a\udcffb", "\ue000", "\uffff", "\U000e0041", "\U0010ffff",
    # what looks the same
    "é", "e\u0301", "\u0301", "Å", "\u212b", "K", "\u212a", "k", "ß", "ẞ", "SS", "İ", "i\u0307",
    "ﬁ", "Rachel", "rachel", "RACHEL", "R\u0430chel",
    # what other systems can't hold, and what shells obey
    "CON", "nul.txt", "a.", "a:b", "-rf", "--help", "*", "$(reboot)", "`id`", "'", '"', ";", "|",
    # what is too long
    "x" * 229, "x" * 230, "x" * 231, "x" * 300, "é" * 76, "é" * 77, "é" * 300, "/" * 77,
    "👩\u200d👧" * 80,
]  # fmt: skip

# By number: hypothesis writes down what it chooses from, over and over.
famous = st.integers(0, len(WICKED) - 1).map(lambda number: WICKED[number])
wicked = st.one_of(
    famous,
    st.lists(famous, min_size=2, max_size=4).map("".join),
    st.text("./%-_~aA\0\n\x1b\u202e\u200b\u0301é", min_size=1, max_size=12),
    st.text(st.characters(), min_size=1),
)
odd = st.one_of(wicked, st.none(), st.just(""), st.integers(), st.lists(wicked, max_size=2))
lines = st.lists(
    st.one_of(odd, st.fixed_dictionaries({"text": odd, "voice_id": odd, "voice_name": odd})),
    max_size=3,
)
objects = st.fixed_dictionaries(
    {"history_item_id": wicked},
    optional={
        "date_unix": st.sampled_from([None, 0, 1_714_650_306, 1_714_650_307, LATEST, -1, 10**20]),
        "voice_id": odd,
        "voice_name": odd,
        "text": odd,
        "dialogue": st.one_of(odd, lines),
        "source": odd,
        "model_id": odd,
        "content_type": odd,
        "output_format": odd,
        "state": odd,
        "a_field_of_tomorrow": st.dictionaries(wicked, odd, max_size=2),
    },
)
libraries = st.lists(objects, min_size=1, max_size=5, unique_by=lambda o: o["history_item_id"])
TWINS = [
    [{"history_item_id": item_id, "voice_id": item_id} for item_id in ids]
    for ids in (["a/b", "a%2Fb", "a%252Fb"], ["é", "e\u0301", "É"], ["\ud800", "\udfff", "?"])
]


def sent(fields: dict[str, object]) -> bytes:
    """Return an object as a server sends it: half of a surrogate pair becomes an escape."""
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "backslashreplace")


def assert_safe(name: str) -> None:
    """A name is one component of a path, as it stands on any terminal."""
    assert 0 < len(name.encode()) <= NAME_MAX
    assert "/" not in name
    assert name not in (".", "..")
    assert name.isprintable()
    assert unicodedata.is_normalized("NFC", name)


class Audio(FakeAudio):
    """Audio for any id."""

    def open(self, item: Item, waiter: Waiter) -> BytesFile:
        return BytesFile(repr(item.id).encode("utf-8", "surrogatepass"))


class Source(MemorySource):
    """What the server sent, read as histfs does."""

    def describe(self, raw: bytes):
        return details_of(raw)


class Account:
    """A tree of a hostile library, and the trash beside it.

    Args:
        root: where all that it writes must stay.
        tree: the tree.
        trash: the trash.
    """

    def __init__(self, root: Path, tree: Tree, trash: Trash) -> None:
        self.root = root
        self.tree = tree
        self.trash = trash

    def walk(self, path: str) -> Iterator[tuple[str, int]]:
        """Yield every path below a directory, and of what kind it is."""
        for name, kind, *_ in self.tree.listdir(path, Waiter(10)):
            assert_safe(name)
            below = posixpath.join(path, name)
            assert self.tree.stat(below, Waiter(10)).kind == kind
            yield below, kind
            if kind == stat.S_IFDIR:
                yield from self.walk(below)

    def items(self, view: str) -> dict[str, str]:
        """Return the id of each item that a view shows, by the path of its home."""
        found = {}
        for path, kind in self.walk(view):
            if kind == stat.S_IFLNK:
                target = self.tree.readlink(path, Waiter(10))
                home = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            elif kind == stat.S_IFDIR and path.startswith("by-date/") and path.count("/") == 4:
                home = path
            else:
                continue
            assert home not in found
            found[home] = self.id_of(home)
        return found

    def audio_of(self, home: str) -> str:
        """Return the name of an item's audio."""
        names = [name for name, *_ in self.tree.listdir(home, Waiter(10))]
        return next(name for name in names if is_audio_name(name))

    def in_trash(self) -> list[str]:
        """Return the names of all that lies in the trash."""
        return os.listdir(self.trash.root) if self.trash.root.exists() else []

    def id_of(self, home: str) -> str:
        """Return the id that an item's metadata tell."""
        _, file = self.tree.open(f"{home}/meta.json", Waiter(10))
        return parse_lenient(file.read(0, file.size, Waiter(10)))["history_item_id"]


@contextlib.contextmanager
def account(records: list[Record]) -> Iterator[Account]:
    """Lend an account that leaves nothing behind."""
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = Source(records)
        world = stack.enter_context(world_at(root / "catalog.sqlite", source))
        world.contact()
        catalog = Catalog(world.store, world.refresher, source.describe)
        library = FileContext(source.traits, catalog, Audio())
        files = [kind(library) for kind in (MetaFile, TextFile, AudioFile)]
        trash = Trash(root / "trash")
        archive = TrashArchive(
            trash,
            files,
            zone=UTC,
            base_url="https://api.example.com",
            profile="default",
            timeout=10,
        )
        deletes = SingleFlight("delete", 1)
        stack.callback(deletes.close)
        tree = Tree(
            index=catalog,
            deletions=Deletions(source, catalog, archive, deletes),
            views=[
                ByDate(UTC),
                ByVoice(UTC),
                BySource(UTC),
            ],
            files=files,
            zone=UTC,
            links=True,
            listings={},
            born=0,
        )
        yield Account(root, tree, trash)


@settings(max_examples=40)
@given(libraries)
@example(TWINS[0])
@example(TWINS[1])
@example(TWINS[2])
def test_every_view_shows_every_item_once_under_a_safe_name_that_leads_to_it(library):
    records = records_of(map(sent, library), NOW)
    with account(records) as mount:
        by_date = mount.items("by-date")
        assert sorted(by_date.values()) == sorted(o["history_item_id"] for o in library)
        for view in VIEWS[1:]:
            assert mount.items(view) == by_date


@settings(max_examples=25)
@given(libraries)
@example(TWINS[0])
@example(TWINS[1])
@example(TWINS[2])
def test_a_deleted_item_is_in_the_trash_under_a_safe_name_and_nothing_is_elsewhere(library):
    with account(records_of(map(sent, library), NOW)) as mount:
        for home, item_id in mount.items("by-date").items():
            before = set(mount.in_trash())
            mount.tree.unlink(f"{home}/{mount.audio_of(home)}", Waiter(10))
            (new,) = set(mount.in_trash()) - before
            assert mount.trash.find(new).entry.id == item_id
        assert not any(mount.items(view) for view in VIEWS)
        there = mount.in_trash()
        assert len(there) == len(library)
        assert {path.name for path in mount.root.iterdir()} <= {"trash", *CATALOG}
        for name in there:
            assert_safe(name)
            audio, *rest = sorted(os.listdir(mount.trash.root / name))
            assert audio.startswith("audio.")
            assert rest == ["entry.json", "meta.json", "text.txt"]
        for line in (["list"], *(["show", name] for name in there)):
            told = CliRunner().invoke(trash_command, [*line, "--trash", str(mount.trash.root)])
            assert told.exit_code == 0
            assert all(map(str.isprintable, told.output.split("\n")))


@settings(max_examples=50)
@given(st.lists(wicked, unique=True, min_size=2, max_size=5))
@example(["a/b", "a%2Fb", "a%2fb", "A/b"])
def test_ids_that_differ_have_clips_of_their_own_inside_the_cache(ids):
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "cache"
        disk = DiskCache(root, 1 << 30)
        for item_id in ids:
            part = disk.create()
            part.reserve(100)
            part.write(ascii(item_id).encode()[:100], 0)
            disk.keep(part, key_of(item_id))
        assert sorted(map(disk.key_at, disk.entries())) == sorted(map(key_of, ids))
        for item_id in ids:
            clip = disk.open(key_of(item_id))
            assert os.pread(clip.number, 100, 0) == ascii(item_id).encode()[:100]
        assert os.listdir(directory) == ["cache"]


class Asked:
    """Takes requests in the place of `Http`, and sends none."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def json(self, method: str, path: str, read: object) -> None:
        self.paths.append(path)


@given(wicked)
def test_an_id_is_one_escaped_step_of_a_url(item_id):
    asked = Asked()
    if item_id in (".", ".."):
        with pytest.raises(Rejected):
            HistorySource(asked).get(item_id)
        return
    HistorySource(asked).get(item_id)
    (path,) = asked.paths
    prepared = requests.Request("DELETE", f"https://api.example.com{path}").prepare().url
    url = parse_url(prepared)
    assert (url.host, url.query, url.fragment) == ("api.example.com", None, None)
    assert url.path.isascii()
    assert url.path.isprintable()
    assert url.path.startswith("/v1/history/")
    step = url.path.removeprefix("/v1/history/")
    assert "/" not in step
    assert unquote_to_bytes(step) == item_id.encode("utf-8", "surrogatepass")


@given(libraries)
def test_the_key_is_read_back_from_each_name(library):
    for record in records_of(map(sent, library), NOW):
        item = record.item
        assert key_in(item_name(item.date, item.slug, item.key, UTC)) == item.key


@given(st.integers(300, 599), st.recursive(odd, lambda o: st.dictionaries(
    st.sampled_from(["detail", "message", "status", "code", "msg", "loc", "error", "type"]), o)
    | st.lists(o)))  # fmt: skip
@example(401, {"detail": {"message": "\x1b]0;owned\x07", "status": "\x9b31m"}})
def test_what_an_error_says_is_one_printable_line(status, body):
    assert str(error_from_response(status, body)).isprintable()
