"""The one place where a FUSE library is loaded: fusepy on libfuse 2, or mfusepy on libfuse 3.

Both call the same `Operations`. What differs is here: how an operations object is called, which
options each library takes, and how it is told to read synchronously and with enough threads.
"""

from __future__ import annotations

import codecs
import ctypes
import ctypes.util
import importlib
import importlib.util
import os
import signal
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

from histfs.core.errors import HistfsError
from histfs.fuse.fast_callbacks import fuse_class
from histfs.fuse.operations import Operations
from histfs.fuse.reported_sizes import TIMEOUT

Name = Literal["fusepy", "mfusepy"]

# struct fuse_conn_info.want (fuse_common.h of libfuse 3). Reads that the kernel sends in the
# background go on after the reader was killed, and hold one of few slots.
_ASYNC_READ = 1 << 0
_ASYNC_DIO = 1 << 15
_MAX_BACKGROUND = 64
# libfuse's threads cost some 40 KB each, once they were needed. Most calls that wait do so for the
# server; the others must not stand in the kernel's queue meanwhile, where no deadline counts.
_MAX_THREADS = 1024
#: How many calls may wait at the same time. The other threads answer from memory.
MAX_WAITING = _MAX_THREADS - 128
#: The first libfuse 3 that knows -o max_threads; the ones before start as many as are needed.
_LIMITED_THREADS = (3, 12)

#: From here on libfuse tells the kernel to send no interrupts unless `fuse_config.intr` is set; it
#: then also sends the interrupted thread a signal (SIGUSR1), which nobody here waits for.
_TOLD_INTERRUPTS = (3, 17)

_ENCODING = "histfs-path"


class FuseUnavailable(HistfsError):
    """There is no FUSE library, or no /dev/fuse, to mount with."""


class Binding:
    """A loaded FUSE library.

    Args:
        name: which Python binding.
        module: the binding, imported.
    """

    def __init__(self, name: Name, module: ModuleType) -> None:
        self.name = name
        self._module = module
        library = ctypes.CDLL(module._libfuse._name)
        number = int(library.fuse_version())
        self.version = (number // 10, number % 10) if number < 100 else divmod(number, 100)
        self._interrupted = library.fuse_interrupted
        self._exited = library.fuse_session_exited
        self._exited.argtypes = [ctypes.c_void_p]
        self._session_of = library.fuse_get_session
        self._session_of.restype = ctypes.c_void_p
        self._session_of.argtypes = [ctypes.c_void_p]
        self._session: int | None = None

    def __str__(self) -> str:
        return f"{self.name} and libfuse {'.'.join(map(str, self.version))}"

    def interrupted(self) -> bool:
        """Say whether the call that this thread serves was interrupted, or the mount is ending.

        fuse_interrupted(3) works without the ``intr`` option: libfuse keeps the flag either way.
        """
        if self._interrupted():
            return True
        return self._session is not None and bool(self._exited(self._session))

    def caller(self) -> int:
        """Return the id of the thread that made the call which this thread serves.

        Returns:
            0 when it has none here: it is in another PID namespace.
        """
        return int(self._module._libfuse.fuse_get_context().contents.pid)

    def mounted(self) -> None:
        """Remember the mount; called by the operations' init, in libfuse's own context."""
        context = self._module._libfuse.fuse_get_context()
        self._session = self._session_of(context.contents.fuse)

    def run(
        self,
        operations: Operations,
        mountpoint: str,
        debug: bool,
        last_step: Callable[[], None],
        **options: object,
    ) -> None:
        """Mount and serve until the filesystem is unmounted or the process is told to end.

        Args:
            operations: the callbacks.
            mountpoint: an absolute path.
            debug: whether libfuse prints each call.
            last_step: called right before libfuse mounts, when all else is done.
            options: mount options, as libfuse's ``-o`` takes them.

        Raises:
            FuseUnavailable: libfuse could not mount.
        """
        options |= {
            "use_ino": True,
            "hard_remove": True,
            "entry_timeout": TIMEOUT,
            "attr_timeout": TIMEOUT,
            "negative_timeout": 0,
        }
        served: Any = operations
        if self.version[0] == 2:
            options["sync_read"] = True
        elif self.version >= _LIMITED_THREADS:
            # A thread that ends takes its Python state with it, see `threads`.
            options |= {"max_threads": _MAX_THREADS, "max_idle_threads": _MAX_THREADS}
        if self.version >= _TOLD_INTERRUPTS:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        if self.name == "fusepy":
            served = _Called(operations)
            options["encoding"] = _ENCODING
        try:
            fuse = fuse_class(self._module)
            last_step()
            fuse(served, mountpoint, foreground=True, debug=debug, **options)
        except RuntimeError as error:
            # libfuse's exit status: 8 when its loop was ended by a signal, which is no error here.
            if not operations.started:
                raise FuseUnavailable(
                    f"libfuse could not mount on {mountpoint} (status {error}); run with -f -d to"
                    " see why"
                ) from error

    def configure(self, connection: Any, config: Any) -> None:  # noqa: ANN401 - libfuse's structs
        """Make reads synchronous, allow many at once and have interrupts told (libfuse 3).

        Args:
            connection: struct fuse_conn_info.
            config: struct fuse_config.
        """
        connection.want &= ~(_ASYNC_READ | _ASYNC_DIO)
        connection.max_background = _MAX_BACKGROUND
        connection.congestion_threshold = _MAX_BACKGROUND * 3 // 4
        if self.version >= _TOLD_INTERRUPTS:
            config.intr = 1


class _Called:
    """An operations object as fusepy wants it: one that is called with the operation's name."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a method or a flag
        value = getattr(self._operations, name)
        setattr(self, name, value)
        return value

    def __call__(self, operation: str, *args: object) -> object:
        return getattr(self._operations, operation)(*args)


def load(choice: Name | None = None) -> Binding:
    """Load a FUSE library: mfusepy with libfuse 3 where both are there, else fusepy.

    Args:
        choice: insist on one of them; None for ``HISTFS_FUSE`` or the best one.

    Raises:
        FuseUnavailable: there is none; the message says what to install.
    """
    wanted = choice or os.environ.get("HISTFS_FUSE") or _best()
    if wanted not in ("fusepy", "mfusepy"):
        raise FuseUnavailable(f"HISTFS_FUSE is fusepy or mfusepy, not {wanted}")
    if wanted == "mfusepy":
        # With both libraries there mfusepy would take libfuse 2.
        os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
        return Binding("mfusepy", _import("mfusepy", "libfuse 3", "fuse3"))
    codecs.register(_find_codec)
    return Binding("fusepy", _import("fuse", "libfuse 2", "libfuse2 (libfuse2t64 on newer ones)"))


def _best() -> Name:
    has_mfusepy = importlib.util.find_spec("mfusepy") is not None
    return "mfusepy" if has_mfusepy and ctypes.util.find_library("fuse3") else "fusepy"


def _import(module: str, library: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except (OSError, AttributeError, ImportError) as error:
        raise FuseUnavailable(
            f"{library} can't be loaded ({error}); on Debian and Ubuntu: apt install {package}"
        ) from error


def _find_codec(name: str) -> codecs.CodecInfo | None:
    """Give fusepy a codec for paths: UTF-8, and other bytes as surrogates (PEP 383).

    fusepy decodes strictly: a path that is not UTF-8 would end in EINVAL and a traceback.
    """
    if name.replace("_", "-") != _ENCODING:
        return None
    return codecs.CodecInfo(
        name=_ENCODING,
        encode=lambda text, _errors="strict": (
            text.encode("utf-8", "surrogateescape"),
            len(text),
        ),
        decode=lambda data, _errors="strict": (
            bytes(data).decode("utf-8", "surrogateescape"),
            len(data),
        ),
    )
