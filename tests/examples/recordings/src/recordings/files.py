"""``words.txt``."""

from histfs.core.files import Rendered
from histfs.core.item import Details


class WordsFile(Rendered):
    """The number of an item's words."""

    name = "words.txt"

    def render(self, details: Details) -> bytes:
        """Return the file's bytes."""
        return b"%d\n" % len((details.text or "").split())
