"""Load the FUSE library: mfusepy on libfuse 3 or 2, or fusepy on libfuse 2.

This is the only module that imports one. Both bindings call the same `Operations`. This module sets
what the libraries take differently: mount options, synchronous reads and the number of threads.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import os
import signal
from collections.abc import Callable
from types import ModuleType
from typing import Any

from histfs.core.errors import HistfsError
from histfs.fuse import fusepy_adapter
from histfs.fuse.fast_callbacks import fuse_class
from histfs.fuse.invalidation import PathInvalidation
from histfs.fuse.kernel_messages import KernelMessages
from histfs.fuse.operations import Operations
from histfs.fuse.reported_sizes import TIMEOUT

#: For each binding its module, the shared library that it needs, and that one's Debian package.
_BINDINGS = {
    "mfusepy": ("mfusepy", "libfuse", "fuse3"),
    "fusepy": ("fuse", "libfuse 2", "libfuse2 (libfuse2t64 on newer ones)"),
}

# struct fuse_conn_info.want (fuse_common.h of libfuse 3). Reads that the kernel sends in the
# background go on after the reader was killed, and hold one of few slots.
_ASYNC_READ = 1 << 0
_ASYNC_DIO = 1 << 15
_MAX_BACKGROUND = 64
# A thread of libfuse costs some 40 KB once it has been needed. Most calls that wait do so for the
# server; the others must not wait in the kernel's queue meanwhile, where no deadline applies.
_MAX_THREADS = 1024
#: How many calls may wait at the same time. The remaining threads answer from memory.
MAX_WAITING = _MAX_THREADS - 128
#: The first libfuse 3 with -o max_threads; earlier ones start as many threads as are needed.
_HAS_MAX_THREADS = (3, 12)

#: From this version on libfuse asks the kernel for no interrupts unless `fuse_config.intr` is set.
#: It then also sends SIGUSR1 to the interrupted thread, which is ignored here.
_HAS_INTR_OPTION = (3, 17)


class FuseUnavailable(HistfsError):
    """There is no FUSE library, or no /dev/fuse, to mount with."""


class Binding:
    """A loaded FUSE library.

    Args:
        name: ``mfusepy`` or ``fusepy``.
        module: the binding, imported.

    Attributes:
        version: of libfuse, major and minor.
        invalidation: makes the kernel forget what it caches for a path.
        messages: changes replies to the kernel, and tells it what to forget.
    """

    def __init__(self, name: str, module: ModuleType) -> None:
        self._name = name
        self._module = module
        library = ctypes.CDLL(module._libfuse._name)
        number = int(library.fuse_version())
        self.version = (number // 10, number % 10) if number < 100 else divmod(number, 100)
        self._interrupted = library.fuse_interrupted
        self._exited = library.fuse_session_exited
        self._exited.argtypes = [ctypes.c_void_p]
        self._get_session = library.fuse_get_session
        self._get_session.restype = ctypes.c_void_p
        self._get_session.argtypes = [ctypes.c_void_p]
        self._session: int | None = None
        self.invalidation = PathInvalidation(library)
        self.messages = KernelMessages(library, self.version)
        # struct fuse_config of libfuse 3, which it reads at each answer.
        self._config: Any = None

    def __str__(self) -> str:
        return f"{self._name} and libfuse {'.'.join(map(str, self.version))}"

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
            0 for a thread in another PID namespace.
        """
        return int(self._module._libfuse.fuse_get_context().contents.pid)

    def cache_attributes(self, enabled: bool) -> None:
        """Set whether the kernel caches attributes from now on; no effect on libfuse 2."""
        self.messages.caches_attributes = enabled
        self._set_timeouts(TIMEOUT)

    def _set_timeouts(self, seconds: float) -> None:
        """Set how long the kernel caches a directory entry that libfuse adds next (libfuse 3)."""
        if self._config is not None:
            self._config.entry_timeout = seconds
            self._config.attr_timeout = seconds if self.messages.caches_attributes else 0.0

    def mounted(self) -> None:
        """Store libfuse's handles; called by the operations' init, in libfuse's own context."""
        context = self._module._libfuse.fuse_get_context()
        fuse = context.contents.fuse
        self._session = self._get_session(fuse)
        self.invalidation.mounted(fuse)
        self.messages.attach(self._session)

    def run(
        self,
        operations: Operations,
        mountpoint: str,
        debug: bool,
        last_step: Callable[[], None],
        **options: object,
    ) -> None:
        """Mount and serve until the filesystem is unmounted or a signal ends the process.

        Args:
            operations: the callbacks.
            mountpoint: an absolute path.
            debug: whether libfuse prints each call.
            last_step: called immediately before libfuse mounts.
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
        callbacks: Any = operations
        if self.version[0] == 2:
            # The mountpoint was checked by `check_mountpoint`; libfuse 2 has a check of its own.
            options |= {"sync_read": True, "nonempty": True}
        elif self.version >= _HAS_MAX_THREADS:
            # A thread that ends takes its Python state with it, see `fast_callbacks`.
            options |= {"max_threads": _MAX_THREADS, "max_idle_threads": _MAX_THREADS}
        if self.version >= _HAS_INTR_OPTION:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        if self._name == "fusepy":
            callbacks = fusepy_adapter.CallableOperations(operations)
            options["encoding"] = fusepy_adapter.ENCODING
        try:
            fuse = fuse_class(self._module, self._set_timeouts)
            last_step()
            fuse(callbacks, mountpoint, foreground=True, debug=debug, **options)
        except RuntimeError as error:
            # libfuse's exit status. 8, its loop was ended by a signal, is no error here.
            if not operations.started:
                raise FuseUnavailable(
                    f"libfuse could not mount on {mountpoint} (status {error}): histfs doctor"
                    f" {mountpoint} looks for the reason, and histfs mount -d shows each step"
                ) from error

    def configure(self, connection: Any, config: Any) -> None:  # noqa: ANN401 - libfuse's structs
        """Make reads synchronous, allow many at once and enable interrupts (libfuse 3).

        Args:
            connection: struct fuse_conn_info.
            config: struct fuse_config.
        """
        self._config = config
        connection.want &= ~(_ASYNC_READ | _ASYNC_DIO)
        connection.max_background = _MAX_BACKGROUND
        connection.congestion_threshold = _MAX_BACKGROUND * 3 // 4
        if self.version >= _HAS_INTR_OPTION:
            config.intr = 1


def load() -> Binding:
    """Load mfusepy, or fusepy if ``HISTFS_FUSE`` says so.

    mfusepy takes libfuse 3 where that is installed, else libfuse 2. Its own variables
    ``FUSE_LIBRARY_PATH`` and ``FUSE_LIBRARY_NAME`` choose another one.

    Raises:
        FuseUnavailable: a library is missing; the message says what to install.
    """
    name = os.environ.get("HISTFS_FUSE") or "mfusepy"
    if name not in _BINDINGS:
        raise FuseUnavailable(f"HISTFS_FUSE is fusepy or mfusepy, not {name}")
    if name == "fusepy":
        fusepy_adapter.register_codec()
    elif ctypes.util.find_library("fuse3"):
        # mfusepy prefers libfuse 2.
        os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
    module, library, package = _BINDINGS[name]
    try:
        return Binding(name, importlib.import_module(module))
    except ModuleNotFoundError as error:
        raise FuseUnavailable(f"{name} is not installed: pip install {name}") from error
    except (OSError, AttributeError, ImportError) as error:
        raise FuseUnavailable(
            f"{library} can't be loaded ({error}); on Debian and Ubuntu: apt install {package}"
        ) from error
