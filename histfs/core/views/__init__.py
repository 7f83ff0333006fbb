"""Views: the folders under the root, each of which decides where it shows an item."""

from histfs.core.views.by_call import ByCall
from histfs.core.views.by_date import ByDate
from histfs.core.views.by_facet import (
    ByAgent,
    ByChannel,
    ByFacet,
    ByLanguage,
    ByModel,
    ByOutcome,
    BySource,
    ByTag,
    ByVoice,
)
from histfs.core.views.by_month import ByMonth
from histfs.core.views.by_rule import ByDay, ByRule, ByText
from histfs.core.views.search_view import MORE_NAME, MORE_TEXT, Search
from histfs.core.views.view import View, WholeHistoryView

__all__ = [
    "MORE_NAME", "MORE_TEXT", "ByAgent", "ByCall", "ByChannel", "ByDate", "ByDay", "ByFacet",
    "ByLanguage", "ByModel", "ByMonth", "ByOutcome", "ByRule", "BySource", "ByTag", "ByText",
    "ByVoice", "Search", "View", "WholeHistoryView",
]  # fmt: skip
