"""A page to listen on: one HTML file with clips, whose words light up as they sound."""

from histfs.page.clip import PageClip
from histfs.page.document import page

__all__ = ["PageClip", "page"]
