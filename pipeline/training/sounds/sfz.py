"""Reads the part of SFZ that says which recording sounds for which key and velocity (https://sfzformat.com)."""

import re
from dataclasses import dataclass
from pathlib import Path

_TOKEN = re.compile(r"<(\w+)>|([\w$]+)=((?:(?!\s+[\w$]+=|\s*<\w+>).)*)")
_INCLUDE = re.compile(r'#include\s+"([^"]+)"')
_DEFINE = re.compile(r"#define\s+(\$\w+)\s+(\S+)")
_NAMES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_LEVELS = ("global", "master", "group", "region")
_DEEPEST_INCLUDE = 8


@dataclass(frozen=True, slots=True)
class Region:
    """One recording and where it is used.

    Attributes:
        sample: the audio file.
        root: the MIDI pitch that it sounds at when played unchanged, with its tuning; fractions are cents.
        keys: lowest and highest MIDI pitch.
        velocities: lowest and highest.
        volume_db: gain.
        veltrack: how much velocity changes the level, 0..1.
        release_s: how long it fades after the key.
        loop: first and last sample of the loop, in samples of the file; None if it plays through.
        loops: whether the file's own loop is to be used where ``loop`` is None.
        offset: samples of the file to leave out at its start.
    """

    sample: Path
    root: float
    keys: tuple[int, int]
    velocities: tuple[int, int] = (0, 127)
    volume_db: float = 0.0
    veltrack: float = 1.0
    release_s: float = 0.1
    loop: tuple[int, int] | None = None
    loops: bool = True
    offset: int = 0


def regions_of(path: Path) -> list[Region]:
    """The regions that a key alone starts: first of a round robin, no release samples, no key switches but the default.

    Regions whose file is missing are left out.  Raises ValueError for numbers that are none, OSError for a file that
    cannot be read.
    """
    opcodes: dict[str, dict[str, str]] = {level: {} for level in (*_LEVELS, "control")}
    found: list[Region] = []
    level = ""

    def close() -> None:
        if level == "region":
            merged = {k: v for name in _LEVELS for k, v in opcodes[name].items()}
            region = _region(merged, opcodes["control"], path.parent)
            if region is not None:
                found.append(region)

    for match in _TOKEN.finditer(_text(path, path.parent, {}, 0)):
        header, name, value = match.groups()
        if header:
            close()
            level = header
            # A header forgets what stood under the same and under narrower ones.
            for narrower in _LEVELS[_LEVELS.index(level) :] if level in _LEVELS else ():
                opcodes[narrower] = {}
        elif level in opcodes:
            opcodes[level][name] = value.strip()
    close()
    return found


def _text(path: Path, root: Path, defined: dict[str, str], depth: int) -> str:
    """The file without comments, macros replaced, includes put in: those are named from the first file's folder."""
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        bare = re.sub(r"//.*|/\*.*?\*/", "", line)
        if define := _DEFINE.search(bare):
            defined[define[1]] = define[2]
            continue
        for macro in sorted(defined, key=len, reverse=True):
            bare = bare.replace(macro, defined[macro])
        while include := _INCLUDE.search(bare):
            target = _existing(root, include[1]) or _existing(path.parent, include[1])
            inner = _text(target, root, defined, depth + 1) if target is not None and depth < _DEEPEST_INCLUDE else ""
            bare = f"{bare[: include.start()]} {inner} {bare[include.end() :]}"
        lines.append(bare)
    return "\n".join(lines)


def _region(opcodes: dict[str, str], control: dict[str, str], folder: Path) -> Region | None:
    if not _sounds_by_key(opcodes, control):
        return None
    sample = opcodes.get("sample", "")
    file = _sample_file(folder, control.get("default_path", ""), sample)
    if not sample or file is None:
        return None
    shift = int(control.get("note_offset", 0)) + 12 * int(control.get("octave_offset", 0))
    key = opcodes.get("key")
    low = pitch_of(opcodes.get("lokey", key or "0"))
    high = pitch_of(opcodes.get("hikey", key or "127"))
    centre = opcodes.get("pitch_keycenter", key)
    if centre is None or centre == "sample" or float(opcodes.get("pitch_keytrack", 100)) != 100 or high < 0:
        return None
    tune = float(opcodes.get("tune", opcodes.get("pitch", 0))) + 100 * float(opcodes.get("transpose", 0))
    mode = opcodes.get("loop_mode", opcodes.get("loopmode", ""))
    start = opcodes.get("loop_start", opcodes.get("loopstart"))
    end = opcodes.get("loop_end", opcodes.get("loopend"))
    looped = mode not in ("no_loop", "one_shot")
    release_s = 1.0 if mode == "one_shot" else float(opcodes.get("ampeg_release", 0.1))
    return Region(
        sample=file,
        root=pitch_of(centre) + shift - tune / 100,
        keys=(low + shift, high + shift),
        velocities=(int(opcodes.get("lovel", 0)), int(opcodes.get("hivel", 127))),
        volume_db=float(opcodes.get("volume", 0)),
        veltrack=min(1.0, max(0.0, float(opcodes.get("amp_veltrack", 100)) / 100)),
        release_s=min(1.0, max(0.05, release_s)),
        loop=(int(start), int(end)) if looped and start is not None and end is not None else None,
        loops=looped,
        offset=int(opcodes.get("offset", 0)),
    )


def _sounds_by_key(opcodes: dict[str, str], control: dict[str, str]) -> bool:
    """Whether a key pressed on its own starts the region, with controllers where the file puts them."""
    if opcodes.get("trigger", "attack") not in ("attack", "first"):
        return False
    if int(opcodes.get("seq_position", 1)) > 1 or float(opcodes.get("lorand", 0)) > 0:
        return False
    wanted = opcodes.get("sw_last", opcodes.get("sw_lolast", opcodes.get("sw_down")))
    default = opcodes.get("sw_default")
    if wanted is not None and (default is None or pitch_of(wanted) != pitch_of(default)):
        return False
    for name, value in opcodes.items():
        if name.startswith(("on_locc", "on_hicc", "start_locc", "start_hicc", "xfin_locc")):
            return False
        if bound := re.fullmatch(r"(lo|hi)cc(\d+)", name):
            at = float(control.get(f"set_cc{bound[2]}", 0))
            if (bound[1] == "lo" and at < float(value)) or (bound[1] == "hi" and at > float(value)):
                return False
    return True


def pitch_of(text: str) -> int:
    """A MIDI pitch written as a number or a name: ``60``, ``c4``, ``F#3``, ``bb2``; c4 is 60."""
    text = text.strip().lower()
    named = re.fullmatch(r"([a-g])([#b]?)(-?\d+)", text)
    if named is None:
        return int(float(text))
    return _NAMES[named[1]] + {"#": 1, "b": -1, "": 0}[named[2]] + 12 * (int(named[3]) + 1)


def _sample_file(folder: Path, default_path: str, sample: str) -> Path | None:
    """A region's file; where an ARIA bank's macro would say the folder, its usual place is tried."""
    if "$" not in default_path and (file := _existing(folder, default_path + sample)) is not None:
        return file
    nearby = (_existing(above / "Samples", sample) for above in (folder.parent, folder.parent.parent))
    return next((file for file in nearby if file is not None), None)


def _existing(folder: Path, name: str) -> Path | None:
    """A file named in an SFZ; letter case is often wrong, for its authors' file systems ignore it."""
    path = folder
    for part in name.strip().replace("\\", "/").split("/"):
        if part in ("", "."):
            continue
        step = path / part
        if part != ".." and not step.exists():
            same = [entry for entry in path.iterdir() if entry.name.lower() == part.lower()] if path.is_dir() else []
            if not same:
                return None
            step = same[0]
        path = step
    return path if path.is_file() else None
