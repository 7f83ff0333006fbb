"""``by-length/{short,medium,long}``."""

from histfs.core.index import Index
from histfs.core.item import Item
from histfs.core.views import ByRule


class ByLength(ByRule):
    """Items by the number of their words."""

    name = "by-length"

    def directory(self, item: Item, index: Index) -> str:
        """Return the directory in which an item is shown."""
        words = len((index.details(item).text or "").split())
        return "short" if words < 10 else "medium" if words < 100 else "long"
