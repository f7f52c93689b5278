"""Bar charts as SVG, for light and dark pages."""

from collections.abc import Sequence
from html import escape

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 760, 190, 70, 58, 30
_STYLE = """
    rect.page { fill: #ffffff }
    rect.met { fill: #4a5fae }
    rect.missed { fill: #b4552d }
    text { fill: #1d2433 }
    text.name { font-weight: 600 }
    text.small { font-size: 12px; fill: #4b5263 }
    line { stroke: #4b5263; stroke-width: 1.5; stroke-dasharray: 5 4 }
    @media (prefers-color-scheme: dark) {
      rect.page { fill: #1b1f2a }
      rect.met { fill: #93a6f0 }
      rect.missed { fill: #f0a07a }
      text { fill: #eef1f8 }
      text.small { fill: #b9c0d0 }
      line { stroke: #b9c0d0 }
    }
"""


def chart(
    title: str, labels: Sequence[str], values: Sequence[float], bar: float, *, is_least: bool = False
) -> str:
    """A row for each value, and a line at `bar`: the most, or the least, that values should be."""
    height = _TOP + _ROW * len(values) + 14
    most = max(*values, bar) * 1.02
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    what = f"{'At least' if is_least else 'At most'} {bar:g}"
    line = _LEFT + bar * scale
    rows = []
    for place, (label, value) in enumerate(zip(labels, values, strict=True)):
        top = _TOP + _ROW * place
        is_met = value >= bar if is_least else value <= bar
        rows += [
            f'  <text x="{_LEFT - 10}" y="{top + 16}" text-anchor="end">{escape(label)}</text>',
            f'  <rect class="{"met" if is_met else "missed"}" x="{_LEFT}" y="{top}" '
            f'width="{value * scale:.1f}" height="22" rx="3"/>',
            f'  <text class="small" x="{_LEFT + value * scale + 8:.1f}" y="{top + 16}">{value:.3g}</text>',
        ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
            f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="14">',
            f"  <style>{_STYLE}  </style>",
            f'  <rect class="page" width="{_WIDTH}" height="{height}" rx="10"/>',
            f'  <text class="name" x="20" y="28">{escape(title)}</text>',
            f'  <text class="small" x="{line:.1f}" y="48" text-anchor="middle">{what}</text>',
            *rows,
            f'  <line x1="{line:.1f}" y1="{_TOP - 6}" x2="{line:.1f}" y2="{height - 10}"/>',
            "</svg>\n",
        ]
    )
