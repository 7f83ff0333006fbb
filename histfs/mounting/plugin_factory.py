"""Make sources, views and files of plugins; leave out a plugin that fails, and tell the user."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from histfs import plugins
from histfs.core.errors import HistfsError, PluginFailed
from histfs.core.file_context import FileContext
from histfs.core.files import ItemFile
from histfs.core.names import is_component
from histfs.core.plugin_calls import PluginCalls, PluginRaised, reason, run_once
from histfs.core.plugin_isolation import isolated, missing_members
from histfs.core.source import AttachmentSource, Source, Traits
from histfs.core.times import Zone
from histfs.core.views import View
from histfs.plugins import Plugin
from histfs.settings import OptionError, Settings

#: Tells the user in one line what is left out.
Tell = Callable[[str], None]

_PROTOCOLS: dict[str, type] = {
    plugins.SOURCES: Source,
    plugins.VIEWS: View,
    plugins.FILES: ItemFile,
}

log = logging.getLogger(__name__)


def make(plugin: Plugin, argument: object, timeout: float, tell: Tell) -> Any:  # noqa: ANN401 - of its kind
    """Call a plugin's factory; isolate what a plugin of another package makes.

    Args:
        plugin: the plugin.
        argument: of the factory: a `SourceContext`, a `Zone` or a `FileContext`.
        timeout: seconds that a call of the filesystem may take.
        tell: takes a line that says why the plugin is left out.

    Returns:
        A `Source`, a `View` or an `ItemFile`; None when it is left out.
    """
    try:
        return _made(plugin, argument, timeout)
    except HistfsError as error:
        tell(f"{plugin} is left out: {reason(error)}")
        return None


def make_views(name: str, traits: Traits, settings: Settings, zone: Zone, tell: Tell) -> list[View]:
    """Return the views that show the items of a source; the first one is their home.

    Args:
        name: of the source.
        traits: of the source.
        settings: which views were chosen.
        zone: of the mount.
        tell: takes a line about one that is left out.

    Raises:
        OptionError: there is none that shows every item.
        UnknownPlugin: one that was chosen isn't there.
    """
    views: dict[str, View] = {}
    for plugin in _chosen(plugins.VIEWS, settings.views, traits.views):
        view: View | None = make(plugin, zone, settings.timeout, tell)
        if view is None or not (view.facet is None or view.facet in traits.facets):
            continue
        if view.name in views:
            tell(f"{plugin} is left out: there is another view in the folder {view.name}")
        else:
            views[view.name] = view
    home = next((view for view in views.values() if view.total), None)
    if home is None:
        raise OptionError(
            f"the views that were chosen don't show every item of {name}: add by-date"
        )
    return [home, *(view for view in views.values() if view is not home)]


def make_files(
    traits: Traits, settings: Settings, library: FileContext, tell: Tell
) -> tuple[list[ItemFile], list[ItemFile]]:
    """Return the files that are shown of an item, and those that are archived of it.

    The file that deletes the item comes last: `rm -r` unlinks it when the rest is gone, and shows
    the rest again if the delete fails. Archived are the source's own files, shown or not: files of
    other packages can be rendered again, and their faults must not prevent a delete.

    Args:
        traits: what the source is like.
        settings: which files were chosen.
        library: what the files are rendered from.
        tell: takes a line about one that is left out.

    Raises:
        UnknownPlugin: one that was chosen isn't there.
    """
    made: dict[Plugin, ItemFile] = {}
    shown = _chosen(plugins.FILES, settings.files, traits.files)
    own = plugins.choose(plugins.FILES, traits.files)
    for plugin in dict.fromkeys([*shown, *own]):
        file: ItemFile | None = make(plugin, library, settings.timeout, tell)
        if file is not None:
            made[plugin] = file
    files, copied = ([made[plugin] for plugin in some if plugin in made] for some in (shown, own))
    return _last_deletes(files), _last_deletes(copied)


def _last_deletes(files: Iterable[ItemFile]) -> list[ItemFile]:
    """Move the files that delete the item to the end.

    Files are archived in this order, too: the details say whether there is audio.
    """
    return sorted(files, key=lambda file: file.deletes)


def _made(plugin: Plugin, argument: object, timeout: float) -> Any:  # noqa: ANN401 - of its kind
    """Call a plugin's factory, and check what it returns.

    Raises:
        HistfsError: it fails, or the result lacks a member of its protocol.
    """
    if plugin.make is None:
        raise PluginFailed(plugin.error)
    make, protocol = plugin.make, _PROTOCOLS[plugin.kind]

    def make_whole() -> tuple[Any, list[str]]:
        made = make(argument)
        lacking = missing_members(made, protocol)
        if plugin.kind == plugins.SOURCES and not lacking and made.traits.attachments:
            lacking = missing_members(made, AttachmentSource)
        return made, lacking

    try:
        if plugin.own:
            made, lacking = make_whole()
        else:
            made, lacking = run_once("making it", make_whole, timeout)
    except PluginRaised as error:
        log.debug("%s can't be made", plugin, exc_info=error.__cause__)
        raise
    except Exception as error:
        log.debug("%s can't be made", plugin, exc_info=error)
        raise PluginFailed(reason(error)) from error
    if lacking:
        raise PluginFailed(f"{type(made).__name__} is no {plugin.kind}: it has no {lacking[0]}")
    if not plugin.own:
        # A source may hang because the network hangs; views and files don't use the network.
        calls = PluginCalls(str(plugin), timeout, recovers=plugin.kind == plugins.SOURCES)
        made = isolated(made, protocol, calls)
    if plugin.kind == plugins.VIEWS and not (is_component(made.name) and made.name[0] != "."):
        raise PluginFailed(f"no folder can be called {made.name!r}")
    if plugin.kind == plugins.SOURCES:
        plugins.choose(plugins.VIEWS, made.traits.views)
        plugins.choose(plugins.FILES, made.traits.files)
    return made


def _chosen(kind: str, names: Sequence[str] | None, default: Sequence[str]) -> list[Plugin]:
    """Return the chosen plugins of a kind, else the source's own and those of other packages."""
    if names is not None:
        return plugins.choose(kind, names)
    return list(dict.fromkeys([*plugins.choose(kind, default), *plugins.foreign(kind)]))
