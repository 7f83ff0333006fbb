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
from histfs.cli.error_reporting import Refused, report_error, warn
from histfs.cli.options import build_settings, read_only_option, trash_option, tree_options
from histfs.cli.progress import Display, open_display, pluralize
from histfs.cli.sync_steps import fetch_details, list_newest, scan_history
from histfs.core import filesystem as forest
from histfs.core.errors import HistfsError, PathError, SourceError
from histfs.core.name_forms import key_in
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
@click.option("--local", is_flag=True, help="Leave the items at the server alone.")
@click.option("-n", "--dry-run", is_flag=True, help="List the traces, and remove nothing.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask for confirmation.")
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
    """Remove every trace of items, at the server and on this machine.

    ITEM is an id, or the path of an item's directory under the mountpoint. Removed for good are the
    item at the server, its audio in the cache, its entries in the catalog, and its copies in the
    trash.

    \b
    Examples:
      histfs purge ja9xsmfGhxYcymxGcOGB
      histfs purge --caller "+49 1555 1234567" --dry-run
    """  # noqa: D301 - the control character is click's
    if not items and caller is None:
        raise click.UsageError("Give the ITEMs to purge, or --caller.")
    settings, trash = build_settings(given), Trash(given["trash"].absolute())
    if settings.options.read_only and not dry_run:
        raise Refused(
            "nothing is purged: leave out --read-only, HISTFS_READ_ONLY, or ro among the options"
        )
    logs.start(foreground=False, debug=False, key=settings.key)
    with (
        compose(settings, warn) as filesystem,
        purge_traces.catalog_locations(settings.cache_dir) as catalogs,
    ):
        plan = _Purge(filesystem, catalogs, trash, local)
        for item in items:
            plan.add_item(item)
        if caller is not None:
            with open_display() as display:
                plan.add_caller(caller, display)
        plan.show()
        if plan.targets and not dry_run:
            _confirm(pluralize(len(plan.targets), "item"), yes)
            plan.run()
    if plan.failed:
        raise SourceError(f"not all is gone: {'; '.join(plan.failed)}")


def _confirm(what: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(
            "nothing is purged: there is no terminal to confirm on; add --yes, or --dry-run"
        )
    click.confirm(f"Remove {what} for good?", abort=True)


@dataclass
class _Purge:
    """The items to purge, and what failed.

    Attributes:
        filesystem: of the account.
        catalogs: all catalogs in the cache directory.
        trash: the trash.
        local: whether the server is left alone.
        targets: the items, as a set in order.
        failed: a text for each trace that remains or could not be examined.
    """

    filesystem: AccountFilesystem
    catalogs: Sequence[CatalogLocation]
    trash: Trash
    local: bool
    targets: dict[Target, None] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @property
    def _settings(self) -> Settings:
        return self.filesystem.settings

    # Finding the items

    def add_item(self, item: str) -> None:
        """Add an item.

        Args:
            item: its id, its path, or the name of its directory.

        Raises:
            Refused: there is no trace of it.
            HistfsError: its traces can't be found out.
        """
        found = self._by_path(item) if "/" in item else self._by_id(item)
        if not found:
            where = "here" if self.local else "here, nor at the server"
            raise Refused(f"{item}: there is no such item {where}")
        self.targets.update(dict.fromkeys(found))

    def add_caller(self, caller: str, display: Display) -> None:
        """Add the conversations of a caller.

        Args:
            caller: a user id or a telephone number.
            display: shows the progress.

        Raises:
            Refused: no source has callers.
            SourceError: the server failed.
        """
        sources = [each for each in self.filesystem.sources if each.source.traits.summaries]
        if not sources:
            raise Refused("no source that was chosen tells who called")
        own_cache = account_path(self._settings)
        for mounted in sources:
            if not self.local and not self._fetch_all_details(mounted, display):
                self.failed.append(f"the {mounted.name} at the server were not looked at")
            for catalog in self.catalogs:
                if catalog.source == mounted.name:
                    ids, unread = catalog.calls_of(caller, mounted.source.describe)
                    self._add(mounted.name, ids)
                    if unread and own_cache in catalog.path.parents:
                        what = f"{pluralize(unread, 'item')} of {mounted.name}"
                        self.failed.append(f"{what} were not looked at: their details are not here")
            ids, unreadable = purge_traces.calls_in_trash(
                self.trash, caller, mounted.source.describe
            )
            self._add(mounted.name, ids)
            self.failed += [f"{path} in the trash can't be read" for path in unreadable]

    def _fetch_all_details(self, mounted: MountedSource, display: Display) -> bool:
        """Fetch the details of all items of a source; return False if it can't be listed."""
        if not list_newest(mounted, display):
            return False
        scan_history(mounted, self._settings, display)
        fetch_details(mounted, self._settings, display)
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
            # The item may be deleted already; its name has its key.
            key = key_in(posixpath.basename(below))
            return self._by_id(key) if key else []
        if found is None or key_in(posixpath.basename(home)) != found[0].key:
            raise Refused(f"{path} is no item's directory: give that, or the item's id")
        folder = home.strip("/").partition("/")[0]
        others = [each.name for each in self.filesystem.sources if not each.in_root]
        source = folder if folder in others else self.filesystem.first.name
        return [Target(source, found[0].id)]

    def _by_id(self, item_id: str) -> list[Target]:
        names = [each.name for each in self.filesystem.sources]
        key = key_in(item_id)
        if key is not None:
            ids = (item.id for catalog in self.catalogs for item in catalog.store.with_key(key))
            item_id = next(ids, key)
        targets = [Target(name, item_id) for name in names]
        found = [target for target in targets if any(self._in_cache(target, deleted=False))]
        if not found and not self.local:
            found = [target for target in targets if any(self._at_server(target))]
        return found or [target for target in targets[:1] if any(self._in_trash(target))]

    # Finding their traces

    def _at_server(self, target: Target) -> list[Trace]:
        """Return the traces of an item at the server."""
        mounted = next(c for c in self.filesystem.sources if c.name == target.source)
        dates = [item.date for item in mounted.store.with_key(target.key)]
        return list(purge_traces.at_server(mounted, target, dates))

    def _in_cache(self, target: Target, *, deleted: bool) -> list[Trace]:
        """Return the traces of an item in the cache directory."""
        return [
            trace
            for catalog in self.catalogs
            if catalog.source == target.source
            for trace in catalog.traces(target.key, deleted=deleted)
        ]

    def _in_trash(self, target: Target) -> list[Trace]:
        """Return the traces of an item in the trash."""
        return list(purge_traces.in_trash(self.trash, target.key))

    # Removing them

    def show(self) -> None:
        """Print the traces of all items."""
        for target in self.targets:
            try:
                remote = [] if self.local else self._at_server(target)
            except HistfsError as error:
                warn(f"{target.id}: {error}")
                remote = []
            for trace in [*remote, *self._in_cache(target, deleted=False), *self._in_trash(target)]:
                _print_trace(target.id, trace, "there is")
        if not self.targets:
            click.echo("There is nothing to purge.")

    def run(self) -> None:
        """Remove the traces of all items, and print each."""
        removed: Counter[str] = Counter()
        for target in self.targets:
            deleted = not self.local and self._delete(target, removed)
            for trace in [*self._in_cache(target, deleted=deleted), *self._in_trash(target)]:
                self._remove(target, trace, removed)
        for path in unusable_below(self._settings.cache_dir):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                self.failed.append(f"{path} can't be removed: {error.strerror}")
            else:
                click.echo(shown(f"removed: {path}, which may have held the same"))
        for catalog in self.catalogs:
            try:
                catalog.clean()
            except HistfsError as error:
                report_error(error)
                self.failed.append(str(error))
        parts = ", ".join(f"{count:,} from the {where}" for where, count in removed.items())
        click.echo(f"{pluralize(len(self.targets), 'item')} purged: {parts or 'nothing'} removed.")

    def _delete(self, target: Target, removed: Counter[str]) -> bool:
        """Delete an item at the server; return False if it may remain there."""
        try:
            traces = self._at_server(target)
        except HistfsError as error:
            report_error(error, target.id)
            self.failed.append(f"{target.id} may remain at the server")
            return False
        return all(self._remove(target, trace, removed) for trace in traces)

    def _remove(self, target: Target, trace: Trace, removed: Counter[str]) -> bool:
        """Remove a trace; return False if it remains."""
        try:
            trace.remove()
        except HistfsError as error:
            report_error(error, target.id)
            self.failed.append(f"{target.id} remains in {trace.where}")
            return False
        removed[trace.where.partition(" /")[0]] += 1
        _print_trace(target.id, trace, "removed")
        return True


def _print_trace(item_id: str, trace: Trace, state: str) -> None:
    size = "" if trace.size is None else f", {pluralize(trace.size, 'byte')}"
    click.echo(shown(f"{item_id}: {state}: {trace.where}{size}"))
