"""Draw ratios as horizontal bars in a self-contained SVG file."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from scripts.benchmarks.figures import Figure, number

_COLOURS = {True: "#2a9d6f", False: "#d1495b", None: "#7189a5"}
_WIDTH, _LABELS, _BARS = 860, 420, 330
_TOP, _ROW = 74, 36
#: The ratio at which bars end, so that one bad ratio leaves the others readable.
_LONGEST = 3.0

_FRAME = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"
 viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="12" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>
<text x="16" y="26" font-size="16" font-weight="600">{title}</text>
<text x="16" y="46" fill="#777">As a multiple of the peer's figure. Black: the wanted maximum (≤) \
or minimum (≥). Green: met. Bars end at {longest}.</text>
<line x1="{one}" x2="{one}" y1="{top}" y2="{end}" stroke="#999" stroke-dasharray="3 3"/>
{rows}
<text x="{one}" y="{under}" text-anchor="middle" fill="#777">as the peer</text>
</svg>
"""
_BAR = """<text x="16" y="{y1}">{case}</text>
<text x="16" y="{y2}" font-size="10.5" fill="#777">{own} beside {peer}</text>
<rect x="{left}" y="{y}" width="{length}" height="18" rx="2" fill="{colour}"/>
<text x="{after}" y="{y1}">{ratio} <tspan fill="#777">{wanted}</tspan></text>"""
_LIMIT = '<line x1="{x}" x2="{x}" y1="{y1}" y2="{y2}" stroke="#000" stroke-width="2.5"/>'


def draw(title: str, figures: Iterable[Figure]) -> str:
    """Return an SVG drawing of the figures that have a peer."""
    shown = [(figure, figure.ratio) for figure in figures if figure.ratio is not None]
    limits = [limit for figure, _ in shown for limit in (figure.most, figure.least) if limit]
    scale = _BARS / min(_LONGEST, max([1.0, *limits, *(ratio for _, ratio in shown)]))
    rows = []
    for row, (figure, ratio) in enumerate(shown):
        y = _TOP + row * _ROW
        length = min(ratio * scale, _BARS)
        rows.append(
            _BAR.format(
                case=escape(figure.case), own=escape(figure.shown), peer=escape(figure.peer_shown),
                left=_LABELS, y=y, y1=y + 13, y2=y + 27, length=round(length, 1),
                colour=_COLOURS[figure.good], after=_LABELS + _BARS + 10, ratio=number(ratio),
                wanted=f"({figure.wanted})" if figure.wanted else "",
            )
        )  # fmt: skip
        limit = figure.most if figure.most is not None else figure.least
        if limit is not None:
            x = round(_LABELS + min(limit * scale, _BARS), 1)
            rows.append(_LIMIT.format(x=x, y1=y - 4, y2=y + 22))
    end = _TOP + len(shown) * _ROW - 8
    return _FRAME.format(
        width=_WIDTH, height=end + 30, longest=f"{_LONGEST:g}", title=escape(title),
        rows="\n".join(rows), one=round(_LABELS + scale, 1), top=_TOP - 10, end=end, under=end + 16,
    )  # fmt: skip
