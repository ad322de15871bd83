"""The notes as a picture: time from left to right, pitch upwards, drums in lanes of their own.

The file needs nothing beside itself (no scripts, fonts or style sheets from elsewhere), follows the viewer's light or
dark setting, and says in words what it shows.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from pipeline.artefacts.percussion import key_name
from pipeline.artefacts.text import xml_text
from pipeline.notes import Instrument, Note

# Wide enough to tell sixteenths apart at any usual tempo (0.1 s = 4 px); long songs shrink, since browsers draw
# pictures beyond 2^15 px badly or not at all.
PX_PER_S = 40.0
MAX_ROLL_PX = 24_000.0
MIN_WIDTH_PX = 480.0
MIN_NOTE_PX = 1.5

ROW_PX = 6  # one semitone
DRUM_ROW_PX = 15  # room for the name of the drum
MARGIN_LEFT_PX = 118
MARGIN_PX = 12
LEGEND_ROW_PX = 20
AXIS_PX = 22
LABEL_EVERY_PX = 1600  # names of octaves and drums are said again, so that one is in sight however far one scrolls
CHARACTER_PX = 6.7  # mean width of the font at 12 px, to lay out the legend
TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300)
MIN_TICK_PX = 70

# Velocity is drawn as opacity in five steps, so that a path holds many notes; the faintest is still seen.
OPACITIES = (0.35, 0.5, 0.65, 0.8, 1.0)

# Okabe and Ito's palette for the colour-blind, darkened or lightened to stand 3:1 or better against the paper.
# Drums, in their own lanes, are grey; with more than seven others colours come again.
LIGHT_COLOURS = ("#0072b2", "#b35c00", "#007a58", "#b3468a", "#1f8fc4", "#c23b00", "#7d7300")
DARK_COLOURS = ("#4aa3e0", "#f0a830", "#2fc79a", "#e08fbd", "#86cdf5", "#ff7f45", "#f0e442")
LIGHT_DRUMS, DARK_DRUMS = "#4a515c", "#b4bac4"
SEMITONES = 12
BLACK_KEYS = frozenset({1, 3, 6, 8, 10})


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where things are, in pixels."""

    px_per_s: float
    width: float  # of the roll alone
    top: float
    high: int  # the pitch of the topmost row
    low: int
    drum_keys: tuple[int, ...]  # from the top
    duration_s: float

    @property
    def pitched_height(self) -> int:
        return (self.high - self.low + 1) * ROW_PX if self.high >= self.low else 0

    @property
    def drums_top(self) -> float:
        return self.top + self.pitched_height + (MARGIN_PX if self.pitched_height and self.drum_keys else 0)

    @property
    def bottom(self) -> float:
        return self.drums_top + len(self.drum_keys) * DRUM_ROW_PX

    def x(self, at_s: float) -> float:
        return MARGIN_LEFT_PX + at_s * self.px_per_s

    def y(self, pitch: int) -> float:
        return self.top + (self.high - pitch) * ROW_PX

    def drum_y(self, key: int) -> float:
        return self.drums_top + self.drum_keys.index(key) * DRUM_ROW_PX


def write_piano_roll(instruments: Sequence[Instrument], duration_s: float, path: Path) -> None:
    """Write the notes as an SVG picture.

    Instruments have colours of their own (told apart by the colour-blind too), louder notes are more opaque, and every
    drum that is played has a lane with its General MIDI name.  The same notes always give the same bytes.

    Args:
        instruments: any number; none gives an empty roll that says so.
        duration_s: length of the song in seconds; notes beyond it make the roll longer.
        path: file to write; UTF-8.

    Raises:
        OSError: the file cannot be written.
    """
    colours = _colours(instruments)
    legend_rows, legend = _legend(instruments, colours)
    layout = _laid_out(instruments, duration_s, legend_rows)
    width = MARGIN_LEFT_PX + max(layout.width, MIN_WIDTH_PX) + MARGIN_PX
    height = layout.bottom + AXIS_PX + MARGIN_PX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" role="img" aria-labelledby="title desc">',
        f'<title id="title">Piano roll</title>\n<desc id="desc">{xml_text(_described(instruments, duration_s))}</desc>',
        _style(),
        f'<rect class="paper" width="{_n(width)}" height="{_n(height)}"/>',
        legend,
        *_rows(layout),
        *_time_axis(layout),
    ]
    for instrument, colour in zip(instruments, colours, strict=True):
        parts += _notes(instrument, colour, layout)
    parts += _row_names(layout)
    parts.append("</svg>\n")
    path.write_text("\n".join(part for part in parts if part), encoding="utf-8")


def _laid_out(instruments: Sequence[Instrument], duration_s: float, legend_rows: int) -> _Layout:
    pitches = [note.pitch for instrument in instruments if not instrument.is_drum for note in instrument.notes]
    keys = {note.pitch for instrument in instruments if instrument.is_drum for note in instrument.notes}
    ends = (note.end_s for instrument in instruments for note in instrument.notes)
    length_s = max(duration_s, *ends, 1.0) if instruments else max(duration_s, 1.0)
    px_per_s = min(PX_PER_S, MAX_ROLL_PX / length_s)
    return _Layout(
        px_per_s=px_per_s,
        width=length_s * px_per_s,
        top=MARGIN_PX + legend_rows * LEGEND_ROW_PX + MARGIN_PX,
        high=max(pitches) + 2 if pitches else -1,
        low=min(pitches) - 2 if pitches else 0,
        drum_keys=tuple(sorted(keys, reverse=True)),
        duration_s=length_s,
    )


def _described(instruments: Sequence[Instrument], duration_s: float) -> str:
    if not instruments:
        return f"No notes in {_clock(duration_s)} of music."
    played = ", ".join(f"{one.name} ({one.stem}): {len(one.notes)} notes" for one in instruments)
    return (
        f"The notes of {_clock(duration_s)} of music. Time runs from left to right, pitch upwards, drums are in lanes "
        f"below; louder notes are more opaque. {played}."
    )


def _colours(instruments: Iterable[Instrument]) -> list[str]:
    """The class of the colour of each instrument."""
    numbers = count()
    return ["drums" if one.is_drum else f"i{next(numbers) % len(LIGHT_COLOURS)}" for one in instruments]


def _style() -> str:
    def colours(palette: Sequence[str], drums: str) -> str:
        pitched = "".join(f".i{index}{{fill:{colour}}}" for index, colour in enumerate(palette))
        return f"{pitched}.drums{{fill:{drums}}}"

    levels = "".join(f".v{level}{{fill-opacity:{opacity}}}" for level, opacity in enumerate(OPACITIES))
    light = ".paper{fill:#fff}.dark{fill:#f3f4f6}.line{stroke:#d5d8de}.beat{stroke:#e6e8ec}text{fill:#3a3f47}"
    dark = ".paper{fill:#15171b}.dark{fill:#1c1f24}.line{stroke:#3a3f48}.beat{stroke:#292d34}text{fill:#c3c8d0}"
    return (
        f"<style>text{{font:12px system-ui,sans-serif}}.small{{font-size:10px}}.line,.beat{{stroke-width:1}}{levels}"
        f"{light}{colours(LIGHT_COLOURS, LIGHT_DRUMS)}"
        f"@media(prefers-color-scheme:dark){{{dark}{colours(DARK_COLOURS, DARK_DRUMS)}}}</style>"
    )


def _legend(instruments: Sequence[Instrument], colours: Sequence[str]) -> tuple[int, str]:
    """How many rows it takes, and the rows."""
    if not instruments:
        return 1, f'<text x="{MARGIN_PX}" y="{MARGIN_PX + 13}">No notes</text>'
    parts = ["<g>"]
    x, row = float(MARGIN_PX), 0
    for instrument, colour in zip(instruments, colours, strict=True):
        label = f"{instrument.name} ({instrument.stem})"
        width = 34 + len(label) * CHARACTER_PX
        if x > MARGIN_PX and x + width > MARGIN_LEFT_PX + MIN_WIDTH_PX:
            x, row = float(MARGIN_PX), row + 1
        y = MARGIN_PX + row * LEGEND_ROW_PX
        parts.append(f'<rect class="{colour}" x="{_n(x)}" y="{y + 3}" width="12" height="12" rx="2"/>')
        parts.append(f'<text x="{_n(x + 18)}" y="{y + 13}">{xml_text(label)}</text>')
        x += width
    parts.append("</g>")
    return row + 1, "\n".join(parts)


def _rows(layout: _Layout) -> list[str]:
    """Black keys shaded, a line below every C, a line around every drum."""
    left, width = MARGIN_LEFT_PX, _n(layout.width)
    pitches = range(layout.low, layout.high + 1) if layout.pitched_height else range(0)
    shaded = [f"M{left} {_n(layout.y(p))}h{width}v{ROW_PX}h-{width}z" for p in pitches if p % SEMITONES in BLACK_KEYS]
    lines = [f"M{left} {_n(layout.y(pitch) + ROW_PX)}h{width}" for pitch in pitches if pitch % SEMITONES == 0]
    lines += [f"M{left} {_n(layout.drum_y(key))}h{width}" for key in layout.drum_keys]
    lines.append(f"M{left} {_n(layout.bottom)}h{width}")
    rows = [f'<path class="dark" d="{"".join(shaded)}"/>'] if shaded else []
    return [*rows, f'<path class="line" fill="none" d="{"".join(lines)}"/>']


def _row_names(layout: _Layout) -> list[str]:
    """Octaves (C4 is middle C) and drums, at the left edge and again every few screens."""
    names = [
        (f"C{p // SEMITONES - 1}", layout.y(p) + ROW_PX) for p in range(layout.low, layout.high + 1) if p % 12 == 0
    ]
    if not layout.pitched_height:
        names = []
    names += [(key_name(key), layout.drum_y(key) + DRUM_ROW_PX - 4) for key in layout.drum_keys]
    parts = ['<g class="small" text-anchor="end">']
    parts += [f'<text class="small" x="{MARGIN_LEFT_PX - 5}" y="{_n(y)}">{xml_text(name)}</text>' for name, y in names]
    parts.append('</g>\n<g aria-hidden="true" opacity=".75">')
    at = MARGIN_LEFT_PX + LABEL_EVERY_PX
    while at < MARGIN_LEFT_PX + layout.width - MIN_TICK_PX:
        parts += [f'<text class="small" x="{at}" y="{_n(y)}">{xml_text(name)}</text>' for name, y in names]
        at += LABEL_EVERY_PX
    parts.append("</g>")
    return parts


def _time_axis(layout: _Layout) -> list[str]:
    step_s = next((step for step in TICK_STEPS_S if step * layout.px_per_s >= MIN_TICK_PX), TICK_STEPS_S[-1])
    ticks = [index * step_s for index in range(int(layout.duration_s / step_s) + 1)]
    lines = "".join(f"M{_n(layout.x(at))} {_n(layout.top)}V{_n(layout.bottom + 4)}" for at in ticks)
    parts = [f'<path class="beat" fill="none" d="{lines}"/>', '<g text-anchor="middle">']
    y = _n(layout.bottom + AXIS_PX - 4)
    parts += [f'<text class="small" x="{_n(layout.x(at))}" y="{y}">{_clock(at)}</text>' for at in ticks]
    parts.append("</g>")
    return parts


def _notes(instrument: Instrument, colour: str, layout: _Layout) -> list[str]:
    """One path for each step of loudness."""
    levels: defaultdict[int, list[Note]] = defaultdict(list)
    for note in instrument.notes:
        levels[min(int(note.velocity * len(OPACITIES)), len(OPACITIES) - 1)].append(note)
    shape = _drum_shapes if instrument.is_drum else _bars
    return [
        f'<path class="{colour} v{level}" d="{"".join(shape(levels[level], layout))}"/>' for level in sorted(levels)
    ]


def _bars(notes: Iterable[Note], layout: _Layout) -> Iterable[str]:
    for note in notes:
        width = _n(max((note.end_s - note.start_s) * layout.px_per_s - 0.5, MIN_NOTE_PX))  # a gap between repetitions
        yield f"M{_n(layout.x(note.start_s))} {_n(layout.y(note.pitch))}h{width}v{ROW_PX}h-{width}z"


def _drum_shapes(notes: Iterable[Note], layout: _Layout) -> Iterable[str]:
    """A triangle that points from the onset: strokes have no length worth showing."""
    for note in notes:
        yield f"M{_n(layout.x(note.start_s))} {_n(layout.drum_y(note.pitch) + 2)}l6 5.5l-6 5.5z"


def _n(value: float) -> str:
    """A number as short as a tenth of a pixel allows."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def _clock(at_s: float) -> str:
    """Time as m:ss."""
    minutes, seconds = divmod(int(at_s), 60)
    return f"{minutes}:{seconds:02d}"
