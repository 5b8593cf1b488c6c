"""The terminal's output as a picture (SVG), for the README."""

import io
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from rehearsal.outcome import Outcome
from rehearsal.report.timeline import Timeline

WIDTH_COLUMNS = 100

# A picture in a README stands on white and on black pages alike, so it brings a background of its own.
_THEME = TerminalTheme(
    background=(22, 27, 34),
    foreground=(214, 222, 230),
    normal=[
        (48, 54, 61),
        (255, 123, 114),
        (86, 211, 100),
        (227, 179, 65),
        (108, 160, 255),
        (210, 168, 255),
        (86, 212, 221),
        (214, 222, 230),
    ],
    bright=[
        (139, 148, 158),
        (255, 123, 114),
        (86, 211, 100),
        (227, 179, 65),
        (108, 160, 255),
        (210, 168, 255),
        (86, 212, 221),
        (255, 255, 255),
    ],
)

# rich's own format loads a font from a content network; a README's picture must load nothing.
_FORMAT = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>The output of a rehearsal in a terminal</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono",
  monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
<rect width="{width}" height="{height}" rx="10" fill="#161b22" />
<g transform="translate(9, 24)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def write_terminal_picture(outcomes: Sequence[Outcome], file: Path) -> None:
    """Write what the terminal shows for *outcomes*, and the table under them where there are several.

    The same outcomes give the same bytes.
    """
    console = Console(
        record=True,
        width=WIDTH_COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        _environ={},
    )
    with Timeline(console) as timeline:
        for outcome in outcomes:
            timeline.show(outcome)
        if len(outcomes) > 1:
            timeline.tour_ended(outcomes)
    svg = console.export_svg(theme=_THEME, code_format=_FORMAT, unique_id="rehearsal")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(svg, encoding="utf-8")
