"""``histfs purge``."""

from __future__ import annotations

import posixpath
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from histfs import logs
from histfs.cli.exit_codes import Refused, tell, warn
from histfs.cli.options import read_only_option, trash_option, tree_options, tree_settings
from histfs.cli.progress import Display, counted, displayed
from histfs.cli.sync import ask_for_news, fetch_details, read_history
from histfs.core import filesystem as forest
from histfs.core.errors import HistfsError, PathError, SourceError
from histfs.core.names import key_in
from histfs.core.terminal_text import shown
from histfs.core.waiting import Waiter
from histfs.mounting import AccountFilesystem, MountedSource, account_path, compose, purge_traces
from histfs.mounting.cache_layout import unusable_below
from histfs.mounting.purge_traces import CatalogLocation, Target, Trace
from histfs.settings import Settings
from histfs.trash import Trash


@click.command(context_settings={"show_default": True})
@click.argument("items", nargs=-1, metavar="[ITEM]…")
@click.option(
    "--caller",
    metavar="WHO",
    help="All conversations of a user id, or of a telephone number with its country code.",
)
@click.option("--local", is_flag=True, help="Leave alone what the server has.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what there is, and remove nothing.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask whether to go on.")
@read_only_option
@trash_option
@tree_options
def purge(
    items: tuple[str, ...],
    caller: str | None,
    local: bool,
    dry_run: bool,
    yes: bool,
    **given: Any,  # noqa: ANN401 - click's options
) -> None:
    """Remove all there is of items, at the server and on this machine, for good.

    ITEM is an id, or the path of an item's directory behind the mountpoint. Removed are the item at
    the server, its audio in the cache, all that the catalog knows of it, and its copies in the
    trash. Nothing of it can be had back.

    \b
    Examples:
      histfs purge ja9xsmfGhxYcymxGcOGB
      histfs purge --caller "+49 1555 1234567" --dry-run
    """  # noqa: D301 - the control character is click's
    if not items and caller is None:
        raise click.UsageError("Give the ITEMs to purge, or --caller.")
    settings, trash = tree_settings(given), Trash(given["trash"].absolute())
    if settings.options.read_only and not dry_run:
        raise Refused(
            "nothing is purged: leave out --read-only, HISTFS_READ_ONLY, or ro among the options"
        )
    logs.start(foreground=False, debug=False, key=settings.key)
    with (
        compose(settings, warn) as filesystem,
        purge_traces.catalog_locations(settings.cache_dir) as places,
    ):
        work = _Purge(filesystem, places, trash, local)
        for item in items:
            work.add_item(item)
        if caller is not None:
            with displayed() as display:
                work.add_caller(caller, display)
        work.show()
        if work.targets and not dry_run:
            _confirm(counted(len(work.targets), "item"), yes)
            work.run()
    if work.failed:
        raise SourceError(f"not all is gone: {'; '.join(work.failed)}")


def _confirm(what: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("nothing is purged: nobody can be asked here; add --yes, or --dry-run")
    click.confirm(f"Remove {what} for good?", abort=True)


@dataclass
class _Purge:
    """The items to purge, and what became of them.

    Attributes:
        filesystem: the account's.
        places: all catalogs in the cache directory.
        trash: where copies are.
        local: whether the server is left alone.
        targets: the items, each once.
        failed: what remains, or could not be looked at, in words.
    """

    filesystem: AccountFilesystem
    places: Sequence[CatalogLocation]
    trash: Trash
    local: bool
    targets: dict[Target, None] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @property
    def _settings(self) -> Settings:
        return self.filesystem.settings

    # What to purge

    def add_item(self, item: str) -> None:
        """Add an item.

        Args:
            item: its id, its path, or the name of its directory.

        Raises:
            Refused: there is nothing of it.
            HistfsError: whether there is can't be told.
        """
        found = self._by_path(item) if "/" in item else self._by_id(item)
        if not found:
            there = "here" if self.local else "here, nor at the server"
            raise Refused(f"{item}: there is no such item {there}")
        self.targets.update(dict.fromkeys(found))

    def add_caller(self, caller: str, display: Display) -> None:
        """Add the conversations of a caller.

        Args:
            caller: a user id or a telephone number.
            display: shows how far the search is.

        Raises:
            Refused: no source tells who called.
            SourceError: the server can't be asked.
        """
        sources = [each for each in self.filesystem.collections if each.source.traits.summaries]
        if not sources:
            raise Refused("no source that was chosen tells who called")
        home = account_path(self._settings)
        for collection in sources:
            if not self.local and not self._know(collection, display):
                self.failed.append(f"the {collection.name} at the server were not looked at")
            for place in self.places:
                if place.source == collection.name:
                    ids, unread = place.calls_of(caller, collection.source.describe)
                    self._add(collection.name, ids)
                    if unread and home in place.path.parents:
                        what = f"{counted(unread, 'item')} of {collection.name}"
                        self.failed.append(f"{what} were not looked at: their details are not here")
            ids, odd = purge_traces.calls_in_trash(self.trash, caller, collection.source.describe)
            self._add(collection.name, ids)
            self.failed += [f"{path} in the trash can't be read" for path in odd]

    def _know(self, collection: MountedSource, display: Display) -> bool:
        """Have all details of a source's items here, and say whether it can be listed."""
        if not ask_for_news(collection, display):
            return False
        read_history(collection, self._settings, display)
        fetch_details(collection, self._settings, display)
        return True

    def _add(self, source: str, ids: Iterable[str]) -> None:
        self.targets.update({Target(source, item_id): None for item_id in ids})

    def _by_path(self, path: str) -> list[Target]:
        tree = self.filesystem.tree(int(time.time()))
        waiter = Waiter(self._settings.timeout)
        below = posixpath.normpath(f"/{path.lstrip('/')}")
        try:
            self.filesystem.probe(below, waiter)
            home, _ = forest.resolve_links(tree, below, waiter, last=True)
            found = tree.item(home, waiter)
        except PathError:
            # Deleted already; its name tells what it was.
            key = key_in(posixpath.basename(below))
            return self._by_id(key) if key else []
        if found is None or key_in(posixpath.basename(home)) != found[0].key:
            raise Refused(f"{path} is no item's directory: give that, or the item's id")
        folder = home.strip("/").partition("/")[0]
        others = [each.name for each in self.filesystem.collections if not each.in_root]
        source = folder if folder in others else self.filesystem.first.name
        return [Target(source, found[0].id)]

    def _by_id(self, item_id: str) -> list[Target]:
        names = [each.name for each in self.filesystem.collections]
        key = key_in(item_id)
        if key is not None:
            ids = (item.id for place in self.places for item in place.store.with_key(key))
            item_id = next(ids, key)
        targets = [Target(name, item_id) for name in names]
        known = [target for target in targets if any(self._here(target, deleted=False))]
        if known or self.local:
            return known if known else [t for t in targets[:1] if any(self._copies(t))]
        found = [target for target in targets if any(self._there(target))]
        return found or [target for target in targets[:1] if any(self._copies(target))]

    # What there is of it

    def _there(self, target: Target) -> list[Trace]:
        """Return what the server has of an item."""
        collection = next(c for c in self.filesystem.collections if c.name == target.source)
        dates = [item.date for item in collection.store.with_key(target.key)]
        return list(purge_traces.at_server(collection, target, dates))

    def _here(self, target: Target, *, deleted: bool) -> list[Trace]:
        """Return what the cache directory has of an item."""
        return [
            trace
            for place in self.places
            if place.source == target.source
            for trace in place.traces(target.key, deleted=deleted)
        ]

    def _copies(self, target: Target) -> list[Trace]:
        """Return what the trash has of an item."""
        return list(purge_traces.in_trash(self.trash, target.key))

    # Removing it

    def show(self) -> None:
        """Say what there is."""
        for target in self.targets:
            try:
                there = [] if self.local else self._there(target)
            except HistfsError as error:
                warn(f"{target.id}: {error}")
                there = []
            for trace in [*there, *self._here(target, deleted=False), *self._copies(target)]:
                _say(target.id, trace, "there is")
        if not self.targets:
            click.echo("There is nothing to purge.")

    def run(self) -> None:
        """Remove it all, and say line by line what was removed, and from where."""
        removed: Counter[str] = Counter()
        for target in self.targets:
            deleted = not self.local and self._delete(target, removed)
            for trace in [*self._here(target, deleted=deleted), *self._copies(target)]:
                self._remove(target, trace, removed)
        for path in unusable_below(self._settings.cache_dir):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                self.failed.append(f"{path} can't be removed: {error.strerror}")
            else:
                click.echo(shown(f"removed: {path}, which may have held the same"))
        for place in self.places:
            try:
                place.clean()
            except HistfsError as error:
                tell(error)
                self.failed.append(str(error))
        parts = ", ".join(f"{count:,} from the {where}" for where, count in removed.items())
        click.echo(f"{counted(len(self.targets), 'item')} purged: {parts or 'nothing'} removed.")

    def _delete(self, target: Target, removed: Counter[str]) -> bool:
        """Delete an item at the server, and say whether it has it no more."""
        try:
            traces = self._there(target)
        except HistfsError as error:
            tell(error, target.id)
            self.failed.append(f"{target.id} may remain at the server")
            return False
        return all(self._remove(target, trace, removed) for trace in traces)

    def _remove(self, target: Target, trace: Trace, removed: Counter[str]) -> bool:
        try:
            trace.remove()
        except HistfsError as error:
            tell(error, target.id)
            self.failed.append(f"{target.id} remains in {trace.where}")
            return False
        removed[trace.where.partition(" /")[0]] += 1
        _say(target.id, trace, "removed")
        return True


def _say(item_id: str, trace: Trace, what: str) -> None:
    size = "" if trace.size is None else f", {counted(trace.size, 'byte')}"
    click.echo(shown(f"{item_id}: {what}: {trace.where}{size}"))
