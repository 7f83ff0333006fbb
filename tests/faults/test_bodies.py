"""Audio that does not come whole: an error, never a short file, and nothing of it is kept."""

from __future__ import annotations

import subprocess

import pytest

from histfs.simulator import Fault
from tests.faults.conftest import DELETE, SIZE, audio_of, code_of, contents, rsync
from tests.support.mounts import id_of
from tests.support.patience import eventually

pytestmark = pytest.mark.fuse

#: Where a body breaks. The clips are a little longer than `SIZE`.
PLACES = {
    "before its first byte": 0,
    "after a byte": 1,
    "in what is read first": 4096,
    "in its middle": SIZE // 2,
    "before its last byte": -1,
    "before the chunk that ends it": None,
}


def cat(audio):
    done = subprocess.run(["cat", audio], capture_output=True)
    return done.returncode, done.stdout


def framed(chunked):
    return "chunked" if chunked else "with Content-Length"


def broken(kind, place, chunked):
    def fault(size):
        at = PLACES[place]
        return Fault("/audio", kind, at_byte=size if at is None else at % size)

    return pytest.param(chunked, fault, id=f"{kind} {place}, {framed(chunked)}")


def spoilt(kind, what, headers):
    def fault(size):
        return Fault("/audio", kind, headers=headers)

    return pytest.param(True, fault, id=what)


@pytest.fixture
def framing(stage):
    """Let audio come in chunks, or not."""

    def frame(chunked):
        stage.simulator.chunked = chunked

    yield frame
    stage.simulator.chunked = True


FAULTS = [
    *(
        broken(kind, place, chunked)
        for kind in ("cut", "reset")
        for place, at in PLACES.items()
        # With its last byte a body of a known length is whole.
        for chunked in ((True,) if at is None else (True, False))
    ),
    spoilt("empty", "nothing", {}),
    spoilt("html", "a sign-in page", {}),
    spoilt("garbage", "JSON", {}),
    spoilt("headers", "another type", {"Content-Type": "text/html"}),
    spoilt("headers", "not compressed as it says", {"Content-Encoding": "gzip"}),
]


@pytest.mark.parametrize(("chunked", "fault_of"), FAULTS)
def test_a_body_that_is_not_whole_is_an_error_and_leaves_nothing(
    stage, framing, chunked, fault_of, tmp_path
):
    framing(chunked)
    item = stage.item()
    audio, served = audio_of(item), stage.served(item)
    copy = tmp_path / audio.name
    copy.write_bytes(b"from last night")
    with stage.failing(fault_of(len(served))):
        status, read = cat(audio)
        assert status == 1
        assert read != served
        assert served.startswith(read)
        assert rsync(item, tmp_path) == 23
        assert code_of(audio.unlink) == "EIO"
        assert stage.simulator.counts[DELETE] == 0
    assert contents(tmp_path) == {audio.name: b"from last night"}
    assert id_of(item) not in stage.cached()
    assert not list(stage.directory.glob("cache/*/incoming/*"))
    assert cat(audio) == (0, served)


@pytest.mark.parametrize("chunked", [True, False], ids=framed)
@pytest.mark.parametrize(
    "fault",
    [
        Fault("/audio", "gzip"),
        Fault("/audio", "cut", count=2),
        Fault("/audio", "reset", count=1, at_byte=SIZE - 1),
    ],
    ids=["compressed", "cut twice", "reset once"],
)
def test_a_body_that_can_be_had_is_read_as_it_is(stage, framing, chunked, fault):
    framing(chunked)
    item = stage.item()
    with stage.failing(fault):
        assert cat(audio_of(item)) == (0, stage.served(item))
    eventually(lambda: id_of(item) in stage.cached())
