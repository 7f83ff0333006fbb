"""Which FUSE library is loaded, and how paths get through it."""

from __future__ import annotations

import codecs
import ctypes.util
import importlib
import importlib.util
import os

import pytest

from histfs.fuse.binding import FuseUnavailable, load


@pytest.fixture
def nothing_loads(monkeypatch):
    """Let no library load; its error message is the given one."""
    monkeypatch.setenv("FUSE_LIBRARY_NAME", "fuse3")

    def missing(error):
        def import_module(name, package=None):
            raise error

        monkeypatch.setattr(importlib, "import_module", import_module)

    missing(OSError("Unable to find libfuse"))
    return missing


@pytest.mark.parametrize("has_module", [True, False])
@pytest.mark.parametrize("has_library", [True, False])
def test_libfuse_3_is_chosen_where_its_binding_and_itself_are_there(
    nothing_loads, monkeypatch, has_module, has_library
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: has_module or None)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: "lib" if has_library else None)
    chosen = "libfuse 3" if has_module and has_library else "libfuse 2"
    with pytest.raises(FuseUnavailable, match=chosen):
        load()


@pytest.mark.parametrize(("wanted", "library"), [("fusepy", "2"), ("mfusepy", "3")])
def test_the_environment_decides_and_the_argument_before_it(
    nothing_loads, monkeypatch, wanted, library
):
    monkeypatch.setenv("HISTFS_FUSE", wanted)
    with pytest.raises(FuseUnavailable, match=f"libfuse {library}"):
        load()
    monkeypatch.setenv("HISTFS_FUSE", "nonsense")
    with pytest.raises(FuseUnavailable, match=f"libfuse {library}"):
        load(wanted)
    with pytest.raises(FuseUnavailable, match="fusepy or mfusepy, not nonsense"):
        load()


@pytest.mark.parametrize(
    "error", [OSError("Unable to find libfuse"), ImportError("no module"), AttributeError("old")]
)
@pytest.mark.parametrize(("wanted", "package"), [("fusepy", "libfuse2"), ("mfusepy", "fuse3")])
def test_a_missing_library_comes_with_what_to_install(nothing_loads, error, wanted, package):
    nothing_loads(error)
    with pytest.raises(FuseUnavailable) as caught:
        load(wanted)
    assert str(error) in str(caught.value)
    assert f"apt install {package}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.fuse
def test_a_binding_tells_what_it_is(binding, monkeypatch):
    monkeypatch.setenv("FUSE_LIBRARY_NAME", "fuse3")
    loaded = load(binding)
    assert loaded.name == binding
    assert loaded.version[0] == {"fusepy": 2, "mfusepy": 3}[binding]
    assert str(loaded).startswith(f"{binding} and libfuse {loaded.version[0]}.")


@pytest.fixture
def codec(nothing_loads):
    """The codec that is there as soon as fusepy is wanted."""
    with pytest.raises(FuseUnavailable):
        load("fusepy")
    return "histfs-path"


@pytest.mark.parametrize(
    "raw",
    [b"/by-date/2024", "/ä/音/\U0001f600".encode(), b"/\xff\xfe/\x80", b"", bytes(range(256))],
)
def test_any_bytes_of_a_path_go_through_the_codec_and_back(codec, raw):
    path = raw.decode(codec)
    assert path == os.fsdecode(raw)
    assert path.encode(codec) == raw
    assert path.encode(codec, "strict") == raw


def test_the_codec_leaves_others_alone(codec):
    with pytest.raises(LookupError):
        codecs.lookup("histfs-other")
