"""An incomplete body of audio is an error, never a short file, and is not cached."""

from __future__ import annotations

import subprocess

import pytest

from histfs.simulator import Fault
from tests.faults.conftest import DELETE, SIZE, audio_of, code_of, contents, rsync
from tests.support.eventually import eventually
from tests.support.mounts import id_of

pytestmark = pytest.mark.fuse

#: The offset at which a body breaks. The clips are a little longer than `SIZE`.
OFFSETS = {
    "before its first byte": 0,
    "after a byte": 1,
    "in what is read first": 4096,
    "in its middle": SIZE // 2,
    "before its last byte": -1,
    "before the chunk that ends it": None,
}


def cat(audio):
    result = subprocess.run(["cat", audio], capture_output=True)
    return result.returncode, result.stdout


def framing_id(chunked):
    return "chunked" if chunked else "with Content-Length"


def broken(kind, place, chunked):
    def fault(size):
        offset = OFFSETS[place]
        return Fault("/audio", kind, at_byte=size if offset is None else offset % size)

    return pytest.param(chunked, fault, id=f"{kind} {place}, {framing_id(chunked)}")


def corrupted(kind, what, headers):
    def fault(size):
        return Fault("/audio", kind, headers=headers)

    return pytest.param(True, fault, id=what)


@pytest.fixture
def framing(system):
    """Choose whether audio is sent in chunks."""

    def frame(chunked):
        system.simulator.chunked = chunked

    yield frame
    system.simulator.chunked = True


FAULTS = [
    *(
        broken(kind, place, chunked)
        for kind in ("cut", "reset")
        for place, offset in OFFSETS.items()
        # A body of a known length is complete with its last byte.
        for chunked in ((True,) if offset is None else (True, False))
    ),
    corrupted("empty", "nothing", {}),
    corrupted("html", "a sign-in page", {}),
    corrupted("garbage", "JSON", {}),
    corrupted("headers", "another type", {"Content-Type": "text/html"}),
    corrupted("headers", "not compressed as it says", {"Content-Encoding": "gzip"}),
]


@pytest.mark.parametrize(("chunked", "make_fault"), FAULTS)
def test_a_body_that_is_not_whole_is_an_error_and_leaves_nothing(
    system, framing, chunked, make_fault, tmp_path
):
    framing(chunked)
    item = system.item()
    audio, served = audio_of(item), system.served(item)
    copy = tmp_path / audio.name
    copy.write_bytes(b"from last night")
    with system.failing(make_fault(len(served))):
        status, read = cat(audio)
        assert status == 1
        assert read != served
        assert served.startswith(read)
        assert rsync(item, tmp_path) == 23
        assert code_of(audio.unlink) == "EIO"
        assert system.simulator.counts[DELETE] == 0
    assert contents(tmp_path) == {audio.name: b"from last night"}
    assert id_of(item) not in system.cached()
    assert not list(system.directory.glob("cache/*/incoming/*"))
    assert cat(audio) == (0, served)


@pytest.mark.parametrize("chunked", [True, False], ids=framing_id)
@pytest.mark.parametrize(
    "fault",
    [
        Fault("/audio", "gzip"),
        Fault("/audio", "cut", count=2),
        Fault("/audio", "reset", count=1, at_byte=SIZE - 1),
    ],
    ids=["compressed", "cut twice", "reset once"],
)
def test_a_body_that_can_be_had_is_read_as_it_is(system, framing, chunked, fault):
    framing(chunked)
    item = system.item()
    with system.failing(fault):
        assert cat(audio_of(item)) == (0, system.served(item))
    eventually(lambda: id_of(item) in system.cached())
