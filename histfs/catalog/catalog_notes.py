"""Single facts about a catalog, kept in the table `notes` of its file.

Threads: any number at once; `ConnectionPool` guards the file.
"""

from __future__ import annotations

from histfs.catalog.connection_pool import ConnectionPool


class _Flag:
    """A fact that is so, or not: there is a row of its name, or there is none.

    Args:
        name: the row's.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, notes: CatalogNotes, _: type[CatalogNotes]) -> bool:
        return bool(notes.files.rows("SELECT 1 FROM notes WHERE name = ?", (self._name,)))

    def __set__(self, notes: CatalogNotes, is_so: bool) -> None:
        if is_so != self.__get__(notes, CatalogNotes):
            with notes.files.transaction() as db:
                db.execute("DELETE FROM notes WHERE name = ?", (self._name,))
                db.executemany("INSERT INTO notes VALUES (?, x'01')", [(self._name,)] * is_so)


class CatalogNotes:
    """The notes that are read and set one by one.

    Args:
        files: connections to the catalog's file.

    Attributes:
        full_scan_wanted: whether a caller has asked for the whole history, and it is not complete.
        undated_fetched: whether items whose dates lie in the future have been requested.
        folder_shown: whether a mount has ever shown the source's folder, or its list ever came.
        list_absent: whether the server has said twice that it has no such list.
    """

    full_scan_wanted = _Flag("wanted")
    undated_fetched = _Flag("undated_sought")
    folder_shown = _Flag("folder_shown")
    list_absent = _Flag("said_absent")

    def __init__(self, files: ConnectionPool) -> None:
        self.files = files

    @property
    def full_list_at(self) -> float | None:
        """When an unfiltered list of the whole history was requested that was read to its end.

        In seconds since the epoch; None when there was none. `catalog_writes.replace` sets it.
        """
        rows = self.files.rows("SELECT value FROM notes WHERE name = 'whole_read'")
        return next((float(value) for (value,) in rows), None)
