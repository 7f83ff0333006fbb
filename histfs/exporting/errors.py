"""The errors of tables and exports, apart: the command line imports nothing else to report them."""

from __future__ import annotations

from histfs.core.errors import HistfsError, SourceError


class DestinationFailed(HistfsError):
    """The destination can't be used: it can't be written or read."""


class DestinationBusy(HistfsError):
    """Another command writes to the same destination."""


class ObjectDiffers(HistfsError):
    """An object at the destination is not what was written there; it is left as it is."""


class TableDamaged(HistfsError):
    """What is at the destination is no table of this account; it is left as it is."""


class NoParquet(HistfsError):
    """Parquet needs pyarrow, which is not installed."""


class NoDask(HistfsError):
    """A cluster needs Dask, which is not installed."""


class ClusterFailed(HistfsError):
    """The cluster can't be used: scheduler or workers are gone, or a worker lacks something."""


class WorkersDied(SourceError):
    """The workers that had an item died, one after the other."""
