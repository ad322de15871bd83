# ruff: noqa: E501 (a groove is read as one line)
"""What the bands of :mod:`timing_songs` play: three grooves for each of 26 kinds of music, written by hand.

A groove is a bar of steps, ``x`` a full stroke, ``o`` a soft one.  Rows: K kick, S snare, C rim or stick, H hi-hat, O open hat,
R ride, T low tom, P shaker or tambourine; B bass (1 root, 3 third, 5 fifth, 8 octave, ``-`` holds on); G chords (x all tones,
``a`` the next tone of a broken chord).  A row longer than a bar goes on in the next bar.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Groove:
    """One way to play a kind of music.

    Attributes:
        bpm: beats per minute; the beat of x/8 metres with groups of three is the dotted quarter, of 7/8 and 5/8 the eighth.
        rows: what is played, by row.
        swing: where the second half of a beat is.
    """

    bpm: float
    rows: dict[str, str]
    swing: float = 0.5


@dataclass(frozen=True, slots=True)
class Genre:
    """A kind of music.

    Attributes:
        signature: the time signature.
        beats: beats of a bar, as tapped.
        steps: steps of a bar in the rows.
        programs: General MIDI programs of bass, chords and tune; None: no such player.
        grooves: the first is for tuning, the others for the figures.
        bars_per_chord: how long a chord lasts.
        tempo: how the tempo goes, for each groove: ``click``, ``drift``, ``ramp``, ``jump``, ``rubato intro``, ``free``.
        form: ``song`` (with fills and a break), ``break`` (a long one), ``pickup``, ``loop``.
    """

    signature: tuple[int, int]
    beats: int
    steps: int
    programs: tuple[int | None, int | None, int | None]
    grooves: tuple[Groove, Groove, Groove]
    bars_per_chord: float = 1.0
    tempo: tuple[str, str, str] = ("click", "drift", "click")
    form: str = "song"
    changes: tuple[tuple[int, int, int], ...] = field(default=())


def _g(bpm: float, swing: float = 0.5, **rows: str) -> Groove:
    return Groove(bpm, rows, swing)


GENRES: dict[str, Genre] = {
    "rock": Genre((4, 4), 4, 16, (33, 29, 65), (
        _g(124, K="x.......x.x.....", S="....x.......x...", H="x.x.x.x.x.x.x.x.", B="1.1.1.1.1.1.1.1.", G="x.......x.....x."),
        _g(138, K="x..x......xx....", S="....x..o....x...", H="x.o.x.o.x.o.x.o.", B="1-.1..1.1-.1..5.", G="x-......x.x....."),
        _g(96, K="x.....x.x.......x.....x.x..x....", S="....x.......x...", R="x.x.x.x.x.x.x.x.", B="1---..1-1---5-8-", G="x.............x."),
    )),
    "pop": Genre((4, 4), 4, 16, (33, 4, 53), (
        _g(104, K="x.....x...x.....", S="....x.......x...", H="x.x.x.x.x.x.x.xo", B="1-----1---1-----", G="x-----x---------"),
        _g(112, K="x..x..x...x..x..", S="....x.......x...", H="xoxoxoxoxoxoxoxo", B="1--1--1---1--1--", G="..x...x...x...x."),
        _g(88, K="x.......xx......", S="....x.......x..o", P="x.o.x.o.x.o.x.o.", B="1-------1-5-----", G="a.a.a.a.a.a.a.a."),
    )),
    "house": Genre((4, 4), 4, 16, (38, 90, 81), (
        _g(124, K="x...x...x...x...", C="....x.......x...", O="..x...x...x...x.", B="..1...1...1...1.", G="x--x--x---x--x--"),
        _g(128, K="x...x...x...x...", O="..x...x...x...x.", P="oooooooooooooooo", B="..11..11..11..18", G="..x.....x..x...."),
        _g(120, K="x...x...x...x.x.", S="....x.......x...", H="..x...x...x...x.", B="1..1..1.1..1..8.", G="x...............", ),
    ), 2.0, ("click", "click", "click"), "break"),
    "hip-hop": Genre((4, 4), 4, 16, (38, 5, 11), (
        _g(92, 0.58, K="x......xx.x.....", S="....x.......x...", H="x.x.x.x.x.x.x.x.", B="1-----..1-1-....", G="x---............"),
        _g(86, 0.62, K="x.x....x..x.....", S="....x.......x...", H="x.xxx.x.x.xxx.x.", B="1-.....1--5.....", G="x-----.x--------"),
        _g(76, 0.55, K="x.....x......x..", S="....x.......x...", H="x.xox.xox.xox.xx", B="1---.......1--5-", G="......x-......x-"),
    ), 2.0, ("click", "click", "drift"), "loop"),
    "funk": Genre((4, 4), 4, 16, (36, 27, 56), (
        _g(102, K="x.x.......x..x..", S="....x..o.o..x..o", H="xoxoxoxoxoxoxoxo", B="1.1....1..8.1..5", G="..x..x..x..x..x."),
        _g(110, K="x..x..x...x.....", S="o...x..o.o.ox...", H="x.x.x.x.x.xxx.x.", B="1..8..1..1.3..5.", G="....x..x....x..x"),
        _g(94, K="x.....xx..x...x.", S="....x..o....x.o.", H="xxxxxxxxxxxxxxxx", B="1.....11..8.5.3.", G="x..x......x..x.."),
    )),
    "ballad without drums": Genre((4, 4), 4, 16, (32, 0, 73), (
        _g(72, B="1-------5-------", G="a.a.a.a.a.a.a.a."),
        _g(66, B="1---------------", G="a.a.a.a.a.a.a.a."),
        _g(80, G="x---..x-x---..x-", B="1-----1-1-----5-"),
    ), 1.0, ("drift", "drift", "ramp")),
    "waltz": Genre((3, 4), 3, 12, (32, 0, 68), (
        _g(132, K="x...........", S="....o...o...", B="1-----------", G="....x---x---"),
        _g(168, K="x...........", H="....x...x...", B="1---5---5---", G="....x...x..."),
        _g(98, K="x.....x.....", S="........x...", H="x.x.x.x.x.x.", B="1-----5-----", G="x-----......"),
    )),
    "six-eight": Genre((6, 8), 2, 6, (33, 25, 53), (
        _g(62, K="x.....", S="...x..", H="xxxxxx", B="1--5--", G="aaaaaa"),
        _g(54, K="x....x", S="...x..", H="xxxxxx", B="1----5", G="x--x.x"),
        _g(88, K="x.....", S="...x.o", R="x.xx.x", B="1-11-5", G="x..x.."),
    ), 1.0, ("click", "drift", "click")),
    "jig": Genre((6, 8), 2, 6, (None, 24, 40), (
        _g(110, B="", G="x.xx.x"),
        _g(118, T="x..x..", P="xoxxox", G="x--x--"),
        _g(104, G="x..x.x", C="x.ox.o"),
    ), 1.0, ("drift", "drift", "drift"), "loop"),
    "twelve-eight": Genre((12, 8), 4, 12, (33, 16, 65), (
        _g(68, K="x.....x..x..", S="...x.....x..", H="xxxxxxxxxxxx", B="1-----1--5--", G="xxxxxxxxxxxx"),
        _g(60, K="x....xx.....", S="...x.....x..", R="xxxxxxxxxxxx", B="1----11-----", G="x-----x-----"),
        _g(76, K="x.....x.....", S="...x.....x..", H="xxxxxxxxxxxx", B="1..1.11..5.5", G="aaaaaaaaaaaa"),
    )),
    "shuffle": Genre((4, 4), 4, 12, (33, 18, 22), (
        _g(116, K="x.....x.....", S="...x.....x..", H="x.xx.xx.xx.x", B="1.13.35.56.5", G="x.....x....."),
        _g(132, K="x..x..x..x..", S="...x.....x..", R="x.xx.xx.xx.x", B="1--3--5--3--", G="...x.....x.."),
        _g(92, K="x....xx.....", S="...x.....x..", H="x.xx.xx.xx.x", B="1.11.15.55.5", G="..x..x..x..x"),
    )),
    "jazz": Genre((4, 4), 4, 12, (32, 0, 66), (
        _g(150, H="...x.....x..", R="x..x.xx..x.x", B="1--3--5--8--", G="..x.......x."),
        _g(184, H="...x.....x..", R="x..x.xx..x.x", S="......o....o", B="1--5--3--5--", G="x....x......"),
        _g(126, R="x..x.xx..x.x", C=".........x..", B="8--5--3--1--", G=".....x......"),
    ), 1.0, ("drift", "drift", "drift")),
    "five-four": Genre((5, 4), 5, 20, (32, 0, 65), (
        _g(168, K="x.........x.........", S="......o.......x.....", R="x...x.x.x...x...x.x.", B="1---..5-----1---5---", G="x-....x-....x---x---"),
        _g(120, K="x.....x.....x.......", S="....x.......x...x...", H="x.x.x.x.x.x.x.x.x.x.", B="1-----1-----5---3---", G="x-----x-----x---x---"),
        _g(100, K="x..x........x.......", S="........x.......x...", H="x.x.x.x.x.x.x.x.x.x.", B="1---1-1-----5-------", G="x-----------x-------"),
    )),
    "seven-eight": Genre((7, 8), 7, 14, (33, 27, 80), (
        _g(236, K="x.......x.....", S="....x.......x.", H="x.x.x.x.x.x.x.", B="1---5---1---5-", G="x-------x-----"),
        _g(220, K="x.....x...x...", S="....x...x...x.", H="x.x.x.x.x.x.x.", B="1-----5---8---", G="x-----x---x---"),
        _g(196, K="x.......x.....", S="....x.......x.", R="x...x...x...x.", B="1.1.1.1.8.5.3.", G="x---x---x-----"),
    )),
    "bossa": Genre((4, 4), 4, 16, (32, 24, 71), (
        _g(132, K="x...x.x.x...x.x.", C="x.....x.....x.......x.....x.....", H="x.x.x.x.x.x.x.x.", B="1-----5-5-----1-", G="x...x.....x..x.."),
        _g(144, C="x.....x.....x.......x.....x.....", P="xoxoxoxoxoxoxoxo", K="x.....x.x.....x.", B="1-----5-5-----5-", G="..x...x-..x...x-"),
        _g(118, K="x.....x.x.....x.", C="....x.....x.....x.....x.....x...", H="xxxxxxxxxxxxxxxx", B="1-----1-5-----5-", G="x-....x-....x-.."),
    ), 2.0, ("drift", "drift", "click")),
    "reggae": Genre((4, 4), 4, 16, (33, 16, 57), (
        _g(76, K="........x.......", C="........x.......", H="..x...x...x...x.", B="1---1-..3---5-..", G="....x.......x..."),
        _g(72, K="........x.......", S="........x.......", H="x.x.x.x.x.x.x.x.", B="..1-1-..5-3-1-..", G="....x.......x..."),
        _g(84, K="x...x...x...x...", S="....o.......x...", H="..x...x...x...x.", B="1-..1-3-5-..3-1-", G="..x...x...x...x."),
    )),
    "drum'n'bass": Genre((4, 4), 4, 16, (38, 89, 54), (
        _g(172, K="x.........x.....", S="....x.......x...", H="x.x.x.x.x.x.x.x.", B="1---------5-----", G="x---------------"),
        _g(176, K="x.........x.....", S="....x..o.o..x...", R="x.x.x.x.x.x.x.x.", B="1-----..1-..3---", G="x---------------"),
        _g(166, K="x.x.......xx....", S="....x..o....x..o", H="xxxxxxxxxxxxxxxx", B="1--1--......5-5-", G="........x-------"),
    ), 2.0, ("click", "click", "click"), "break"),
    "metal": Genre((4, 4), 4, 16, (34, 30, 30), (
        _g(164, K="xxxxxxxxxxxxxxxx", S="....x.......x...", H="x...x...x...x...", B="1.1.1.1.1.1.1.1.", G="x.x.x.x.x.x.x.x."),
        _g(190, K="x...x...x...x...", S="..x...x...x...x.", H="x...x...x...x...", B="1.1.1.1.1.1.1.1.", G="x-------x-......"),
        _g(178, K="x.xxx.xxx.xxx.xx", S="....x.......x...", R="x...x...x...x...", B="1.111.111.111.11", G="x.xxx.xxx.xxx.xx"),
    )),
    "half-time": Genre((4, 4), 4, 16, (38, 88, 82), (
        _g(140, K="x.....x...x.....", S="........x.......", H="x.x.x.x.x.x.x.x.", B="1-----1---1-----", G="x---------------"),
        _g(134, K="x..x........x.x.", S="........x.......", H="x.x.x.xxx.x.x.x.", B="1--1--......1-5-", G="a...a...a...a..."),
        _g(148, K="x.........x..x..", S="........x.......", H="x.x.xxx.x.x.x.xx", B="1---------5--3--", G="x-------........"),
    ), 2.0, ("click", "click", "click"), "loop"),
    "country": Genre((4, 4), 4, 16, (32, 25, 110), (
        _g(108, K="x.......x.......", S="o.o.x.o.o.o.x.o.", B="1-------5-------", G="....x.......x..."),
        _g(196, K="x.......x.......", S="....x.......x...", B="1-------5-------", G="....x.......x..."),
        _g(122, S="ooooxoooooooxooo", K="x.......x.......", B="1-..5-..1-..5-..", G="..x...x...x...x."),
    ), 2.0, ("drift", "drift", "drift"), "pickup"),
    "disco": Genre((4, 4), 4, 16, (33, 48, 61), (
        _g(118, K="x...x...x...x...", S="....x.......x...", O="..x...x...x...x.", H="x...x...x...x...", B="1.8.1.8.1.8.1.8.", G="x---------x-----"),
        _g(126, K="x...x...x...x...", S="....x.......x...", H="x.xxx.xxx.xxx.xx", B="1.1.8.1.1.1.8.5.", G="..x...x...x..xx."),
        _g(114, K="x...x...x...x...", S="....x.......x...", O="..x...x...x...x.", B="1..1..8.1..1..5.", G="x...........x..."),
    )),
    "tango": Genre((4, 4), 4, 16, (32, 21, 40), (
        _g(116, B="1---1---1---1---", G="x...x...x...x...", C="x...x...x...x.x."),
        _g(124, B="1-----1-5---5---", G="x.....x.x...x...", ),
        _g(106, B="1---5---1---5---", G="x..x..x.x...x...", T="x.....x.x......."),
    ), 1.0, ("drift", "rubato intro", "drift")),
    "march": Genre((2, 4), 2, 8, (58, 61, 56), (
        _g(112, K="x...x...", S="..x.x.xx", B="1---5---", G="..x...x."),
        _g(120, K="x...x...", S="..xo..xo", B="1...5...", G="..x...x."),
        _g(104, K="x...x...", S="x.xxx.x.", B="1---5---", G="..x...x-"),
    ), 2.0, ("click", "drift", "drift"), "pickup"),
    "solo piano": Genre((4, 4), 4, 16, (None, 0, None), (
        _g(84, B="1-------5-------", G="a.a.a.a.a.a.a.a."),
        _g(108, G="x.......x...x...", B="1.5.8.5.1.5.8.5."),
        _g(70, G="..x...x...x...x.", B="1---5---8---5---"),
    ), 1.0, ("drift", "drift", "rubato intro"), "loop"),
    "solo guitar": Genre((3, 4), 3, 12, (None, 24, None), (
        _g(100, B="1-----------", G="..a.a.a.a.a."),
        _g(116, B="1---5---5---", G="....x...x..."),
        _g(88, B="1-----5-----", G="a.a.a.a.a.a."),
    ), 1.0, ("drift", "drift", "click"), "loop"),
    "changing": Genre((4, 4), 4, 16, (33, 27, 81), (
        _g(128, K="x.....x.x.......", S="....x.......x...", H="x.x.x.x.x.x.x.x.", B="1-----1-1---5---", G="x-----..x---...."),
        _g(116, K="x..x....x.......", S="....x.......x...", H="x.x.x.x.x.x.x.x.", B="1--1----1---5---", G="x-------x-x-...."),
        _g(142, K="x.......x.x.....", S="....x.......x...", R="x...x...x...x...", B="1.1.1.1.5.5.5.5.", G="x---....x---...."),
    ), 1.0, ("click", "jump", "jump"), "changes"),
}  # fmt: skip
