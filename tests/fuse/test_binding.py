"""Which FUSE library is loaded, and how paths get through fusepy."""

from __future__ import annotations

import codecs
import ctypes.util
import importlib
import os

import pytest

from histfs.fuse.binding import FuseUnavailable, load

MISSING = OSError("Unable to find libfuse")


@pytest.fixture(autouse=True)
def library_is_free(monkeypatch):
    """Let no variable choose the library, and forget the choice that `load` makes."""
    for name in ("FUSE_LIBRARY_NAME", "FUSE_LIBRARY_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def imports(monkeypatch):
    """Let importing a binding fail; yield the modules that are asked for, and the error."""

    def import_module(name, package=None):
        asked.append(name)
        raise errors[0]

    asked, errors = [], [MISSING]
    monkeypatch.setattr(importlib, "import_module", import_module)
    return asked, errors


@pytest.mark.parametrize("has_library", [True, False])
def test_mfusepy_is_loaded_with_libfuse_3_where_that_is_there_else_with_its_own_choice(
    imports, monkeypatch, has_library
):
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: "lib" if has_library else None)
    with pytest.raises(FuseUnavailable, match="apt install fuse3"):
        load()
    assert imports[0] == ["mfusepy"]
    assert os.environ.get("FUSE_LIBRARY_NAME") == ("fuse3" if has_library else None)


@pytest.mark.parametrize(("name", "module"), [("fusepy", "fuse"), ("mfusepy", "mfusepy")])
def test_the_environment_chooses_the_binding(imports, monkeypatch, name, module):
    monkeypatch.setenv("HISTFS_FUSE", name)
    with pytest.raises(FuseUnavailable):
        load()
    assert imports[0] == [module]


def test_no_other_binding_can_be_chosen(monkeypatch):
    monkeypatch.setenv("HISTFS_FUSE", "nonsense")
    with pytest.raises(FuseUnavailable, match="fusepy or mfusepy, not nonsense"):
        load()


@pytest.mark.parametrize("error", [MISSING, ImportError("broken"), AttributeError("old")])
@pytest.mark.parametrize(("name", "package"), [("fusepy", "libfuse2"), ("mfusepy", "fuse3")])
def test_a_missing_library_comes_with_what_to_install(imports, monkeypatch, error, name, package):
    imports[1][0] = error
    monkeypatch.setenv("HISTFS_FUSE", name)
    with pytest.raises(FuseUnavailable) as caught:
        load()
    assert str(error) in str(caught.value)
    assert f"apt install {package}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["fusepy", "mfusepy"])
def test_a_missing_binding_comes_with_what_to_install(imports, monkeypatch, name):
    imports[1][0] = ModuleNotFoundError("No module named 'fuse'")
    monkeypatch.setenv("HISTFS_FUSE", name)
    with pytest.raises(FuseUnavailable, match=f"^{name} is not installed: pip install {name}$"):
        load()


@pytest.mark.fuse
def test_a_binding_tells_what_it_is(binding, monkeypatch):
    monkeypatch.setenv("HISTFS_FUSE", binding)
    loaded = load()
    assert str(loaded) == f"{binding} and libfuse {'.'.join(map(str, loaded.version))}"


@pytest.fixture
def codec(imports, monkeypatch):
    """The codec, which is registered as soon as fusepy is chosen."""
    monkeypatch.setenv("HISTFS_FUSE", "fusepy")
    with pytest.raises(FuseUnavailable):
        load()
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
