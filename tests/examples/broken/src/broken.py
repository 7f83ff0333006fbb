"""Plugins that fail, each in its own way."""

from histfs.core.files import Rendered
from histfs.core.source import Traits
from histfs.core.views import ByRule

number = 5


def unmade(account):
    raise OSError("the disk is on fire")


def nothing(account):
    return None


def exits(account):
    raise SystemExit("no more")


def traitless(account):
    return object()


class Viewless:
    """A source that lacks nearly all that a source has."""

    traits = Traits()

    def __init__(self, account):
        pass


class Lost(Viewless):
    """A source whose items no view shows."""

    traits = Traits(views=("by-nothing",))

    def nothing(self, *_):
        raise ZeroDivisionError("no source")

    list = get = delete = audio = describe = close = nothing


class Fine(Lost):
    """A source without a fault, but for its name."""

    traits = Traits()

    def close(self):
        pass


class ByFault(ByRule):
    """A view whose rule fails."""

    name = "by-fault"

    def directory(self, item, index):
        raise ZeroDivisionError("no rule")


class ByExit(ByRule):
    """A view whose rule ends the process, if it may."""

    name = "by-exit"

    def directory(self, item, index):
        raise SystemExit("no rule")


class ByHalf:
    """A view that lacks nearly all that a view has."""

    name = "by-half"

    def __init__(self, zone):
        pass


class BySlash(ByFault):
    """A view with a name that no folder can have."""

    name = "by/slash"


class FaultyFile(Rendered):
    """A file whose size can't be told, and that can't be read."""

    name = "faulty.txt"

    def size(self, item, waiter):
        raise ZeroDivisionError("no size")

    def render(self, details):
        raise ZeroDivisionError("no bytes")


class ExitingFile(FaultyFile):
    """A file that raises what ends a process."""

    name = "exiting.txt"

    def size(self, item, waiter):
        raise SystemExit("no size")

    def render(self, details):
        raise KeyboardInterrupt


class NamelessFile(FaultyFile):
    """A file that fails when it is asked for its name."""

    def filename(self, item):
        raise ZeroDivisionError("no name")


class HalfFile:
    """A file that lacks all that a file has."""

    def __init__(self, library):
        pass
