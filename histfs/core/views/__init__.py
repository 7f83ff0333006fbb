"""Views: the folders under the root, each a rule that says where an item is shown."""

from histfs.core.views.base import View
from histfs.core.views.by_date import ByDate
from histfs.core.views.by_facet import ByFacet

__all__ = ["ByDate", "ByFacet", "View"]
