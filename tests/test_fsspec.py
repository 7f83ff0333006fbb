"""The tree as an fsspec filesystem: fsspec's own tests of reading, and what histfs promises."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import pickle
from datetime import datetime, timezone

import pytest

fsspec = pytest.importorskip("fsspec")

from fsspec.tests import abstract  # noqa: E402

from histfs.core.name_forms import is_audio_name  # noqa: E402
from histfs.core.times import Zone  # noqa: E402
from histfs.fsspec_filesystem import HistoryFileSystem  # noqa: E402
from histfs.mounting import DirectTree  # noqa: E402
from histfs.simulator import Fault  # noqa: E402
from tests.support.static_filesystem import StaticFilesystem  # noqa: E402

AUDIO = "GET /v1/history/{id}/audio"
NESTED = {"subfile1": b"", "subfile2": b"", "nesteddir": {"nestedfile": b""}}


class Prepared(HistoryFileSystem):
    """A filesystem that has what a test would write."""

    def mkdir(self, path, create_parents=True, **kwargs):
        assert self.isdir(path)

    def touch(self, path, truncate=True, **kwargs):
        assert self.size(path) == 0


class Fixtures(abstract.AbstractFixtures):
    """The files that fsspec's tests would write by themselves."""

    @pytest.fixture
    def fs(self):
        hashed = {
            f"{hashlib.md5(str(i).encode()).hexdigest()}.txt": str(i).encode() for i in range(10)
        }
        tree = {
            "bulk": {"source": {"file1": b"", "file2": b"", "subdir": NESTED}},
            "globs": {"source": {"file1": b"", "file2": b"", "subdir0": NESTED, "subdir1": NESTED}},
            "same": {"source": {"subdir.txt": b"", "subdir": {"subfile.txt": b""}}},
            "ten": {"source": hashed},
            "there": {"src": {"file": b""}},
        }
        system = Prepared(skip_instance_cache=True)
        direct = DirectTree(StaticFilesystem(tree), Zone("UTC"), 5.0, lambda path, waiter: None)
        system._tree = (os.getpid(), direct)
        return system

    @pytest.fixture
    def fs_path(self):
        return "there"

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self):
        return "bulk/source"

    @pytest.fixture
    def fs_glob_edge_cases_files(self):
        return "globs/source"

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self):
        return "same/source"

    @pytest.fixture
    def fs_10_files_with_hashed_names(self):
        return "ten/source"


class TestGetAsFsspecTestsIt(Fixtures, abstract.AbstractGetTests):
    """Copies, listings and patterns."""


@pytest.fixture
def options(simulator, tmp_path):
    return {
        "api_key": simulator.api_key,
        "base_url": simulator.base_url,
        "cache_dir": str(tmp_path / "cache"),
        "trash": str(tmp_path / "trash"),
        "timezone": "UTC",
        "listing_ttl": 0,
        "skip_instance_cache": True,
    }


@pytest.fixture
def fs(options):
    return fsspec.filesystem("histfs", **options)


@pytest.fixture
def item(fs):
    """The directory of the newest item."""
    path = "by-date"
    for _ in range(4):
        path = fs.ls(path, detail=False)[-1]
    return path


def audio_of(fs, item):
    (name,) = fs.glob(f"{item}/audio.[!s]*")
    return name


def flush(fs):
    """Wait until what was read is in the cache."""
    fs.tree.sources[0].audio.flush(fs.tree.waiter())


def test_looking_downloads_nothing_and_promises_no_size_that_is_not_exact(fs, simulator):
    found = fs.find("by-date", detail=True)
    assert simulator.counts[AUDIO] == 0
    assert {
        each["size"] for name, each in found.items() if is_audio_name(name.rpartition("/")[2])
    } == {None}
    assert all(each["size"] for name, each in found.items() if "/meta.json" in name)


def test_the_size_of_audio_is_exact_before_a_byte_is_read(fs, simulator, item):
    name = audio_of(fs, item)
    size = fs.size(name)
    content = fs.cat_file(name)
    assert size == len(content)
    flush(fs)
    assert (fs.ls(item)[-1]["size"], simulator.counts[AUDIO]) == (size, 1)
    assert fs.cat_file(name, 3, 9) == content[3:9]
    assert fs.cat_file(name, -7) == content[-7:]
    assert fs.cat_file(name, 5, -5) == content[5:-5]
    assert fs.cat_ranges([name, name], [0, 9], [4, 12]) == [content[:4], content[9:12]]
    with fs.open(name) as file:
        assert file.size == size
        file.seek(-4, io.SEEK_END)
        assert file.read() == content[-4:]


def test_the_key_of_audio_is_its_checksum_from_the_first_call_on(fs, simulator, item):
    name = audio_of(fs, item)
    key = fs.ukey(name)
    assert key == hashlib.sha256(fs.cat(name)).hexdigest() == fs.ukey(name)
    assert simulator.counts[AUDIO] == 1
    assert (
        fs.ukey(f"{item}/text.txt") == fs.ukey(f"{item}/text.txt") != fs.ukey(f"{item}/meta.json")
    )


def test_times_are_those_of_the_item(fs, simulator, item):
    meta = json.loads(fs.cat(f"{item}/meta.json"))
    moment = datetime.fromtimestamp(meta["date_unix"], timezone.utc)
    assert fs.created(f"{item}/text.txt") == fs.modified(item) == moment


def test_links_are_followed_and_patterns_find_what_is_behind_them(fs, simulator):
    texts = fs.glob("by-voice/*/*/text.txt")
    assert len(texts) >= 60
    at_home, _ = fs.tree.resolve(texts[0])
    assert at_home.startswith("/by-date/")
    assert fs.cat(texts[0]) == fs.cat(at_home) != b""
    link = fs.info(texts[0].rpartition("/")[0])
    assert (link["type"], link["islink"]) == ("directory", True)


def test_an_error_is_no_absence(fs, simulator):
    simulator.faults.add(Fault("GET /v1/history", "status", status=500))
    with pytest.raises(OSError, match="500"):
        fs.find("by-date")
    with pytest.raises(OSError, match="500"):
        fs.exists("by-date/2026/01")


def test_what_is_not_there_is_absent(fs):
    assert not fs.exists("by-date/1999")
    assert not fs.isdir("nothing") and not fs.isfile("nothing")
    assert fs.find("nothing") == []
    with pytest.raises(FileNotFoundError):
        fs.info("nothing")
    with pytest.raises(OSError, match="not written"):
        fs.open("new", "wb")
    with pytest.raises(TypeError, match="'tail'"):
        fsspec.filesystem("histfs", tail=1)


def test_a_download_that_fails_leaves_no_part_of_a_file(fs, simulator, item, tmp_path):
    name = audio_of(fs, item)
    size = len(fs.cat(name))
    flush(fs)
    fs.tree.sources[0].audio.disk.remove(item.rpartition("/")[2].split("_", 2)[2])
    simulator.faults.add(Fault("GET /v1/history/.*/audio", "cut", at_byte=size // 2))
    with pytest.raises(OSError):
        fs.get_file(name, str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


def test_nothing_is_deleted_unless_that_was_asked_for(fs, options, simulator, item, tmp_path):
    with pytest.raises(PermissionError, match="delete=True"):
        fs.rm(item, recursive=True)
    deleting = fsspec.filesystem("histfs", delete=True, **options)
    with pytest.raises(IsADirectoryError):
        deleting.rm(item)
    with pytest.raises(IsADirectoryError):
        deleting.rm(item.rpartition("/")[0], recursive=True)
    assert len(set(simulator.library.ids())) == 60
    deleting.rm(item, recursive=True)
    assert item.split("_", 2)[2] not in set(simulator.library.ids())
    assert len(list((tmp_path / "trash").rglob("audio.[!s]*"))) == 1
    assert not deleting.exists(item)


def _size(fs, name, queue):
    queue.put((fs.size(name), hashlib.sha256(fs.cat_file(name)).hexdigest()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_processes_share_one_cache(fs, simulator, item, method):
    name = audio_of(fs, item)
    expected = hashlib.sha256(fs.cat_file(name)).hexdigest()
    flush(fs)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=_size, args=(fs, name, queue))
    process.start()
    assert queue.get(timeout=60)[1] == expected
    process.join(60)
    assert (process.exitcode, simulator.counts[AUDIO]) == (0, 1)


def test_it_can_be_pickled(fs, item):
    assert pickle.loads(pickle.dumps(fs)).ls(item, detail=False) == fs.ls(item, detail=False)


def test_pandas_reads_by_url(options, item):
    pandas = pytest.importorskip("pandas")
    options.pop("skip_instance_cache")
    series = pandas.read_json(f"histfs://{item}/meta.json", typ="series", storage_options=options)
    assert series["history_item_id"] == item.split("_", 2)[2]


def test_pyarrow_reads_a_dataset(fs, item):
    dataset = pytest.importorskip("pyarrow.dataset")
    files = pytest.importorskip("pyarrow.fs")
    above = files.PyFileSystem(files.FSSpecHandler(fs))
    (info,) = above.get_file_info([f"{item}/text.txt"])
    assert info.size == fs.size(f"{item}/text.txt")
    lines = dataset.dataset([f"{item}/text.txt"], format="csv", filesystem=above)
    assert len(lines.files) == 1
    with above.open_input_file(audio_of(fs, item)) as file:
        assert len(file.read()) == file.size()


def test_polars_reads_by_url(options, item):
    polars = pytest.importorskip("polars")
    options.pop("skip_instance_cache")
    with fsspec.open(f"histfs://{item}/meta.json", **options) as file:
        assert polars.read_json(file.read())["history_item_id"][0] == item.split("_", 2)[2]


def test_duckdb_reads_by_url(fs, item):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as database:
        database.register_filesystem(fs)
        found = database.sql(
            f"SELECT history_item_id FROM read_json_auto('histfs://{item}/meta.json')"
        ).fetchall()
    assert found == [(item.split("_", 2)[2],)]
