"""Which sample libraries the weights may be made with, and what family an instrument's name stands for."""

import re
from dataclasses import replace
from pathlib import Path

from pipeline.training.sounds.sampler import OUT_OF_TUNE_CENTS, SampledSound, recording_of
from pipeline.training.sounds.sfz import Region, regions_of
from pipeline.training.sounds.tuning import check_tuning

# What was used: name, where it is had from, licence, revision.  Each lies in a folder of its own name below the one
# that :func:`sampled_sounds` is given, as its repository has it at that revision.
LIBRARIES = (
    (
        "Caveman Cosmonaut, Karoryfer Samples",
        "https://github.com/sfzinstruments/karoryfer.caveman-cosmonaut",
        "CC0-1.0",
        "9de9bcfcbc6d2b20bea5c1116cd07a310febc339",
    ),
    (
        "Cowsynth, Karoryfer Samples",
        "https://github.com/sfzinstruments/karoryfer.cowsynth",
        "CC0-1.0",
        "5a5b5afc2dabbe54cf9d75ab64711ce01862b42c",
    ),
    (
        "Bear Sax, Karoryfer Samples",
        "https://github.com/sfzinstruments/karoryfer.bear-sax",
        "CC0-1.0",
        "7abb3c652525a15dfac80e1b5dfbba9964ee568f",
    ),
    (
        "Emilyguitar, Karoryfer Samples",
        "https://github.com/sfzinstruments/karoryfer.emilyguitar",
        "CC0-1.0",
        "b4920dc662fd9cad6dcaccdeecffdd91c8725d8c",
    ),
    (
        "Growlybass, Karoryfer Samples",
        "https://github.com/sfzinstruments/karoryfer.growlybass",
        "CC0-1.0",
        "4f483268fc66b5a6d5781d421c0d11b8d08d3fc6",
    ),
    (
        "Meatbass, Karoryfer Samples",
        "https://github.com/sfzinstruments/karoryfer.meatbass",
        "CC0-1.0",
        "ac9e859564bda286ab5ec672d00ff1aa2fef2895",
    ),
    (
        "Pastabass, Karoryfer Samples",
        "https://github.com/sfzinstruments/karoryfer.pastabass",
        "CC0-1.0",
        "90135cd026db5d4fa0fe538240b4203f085f5244",
    ),
    (
        "Shinyguitar, Karoryfer Samples",
        "https://github.com/sfzinstruments/karoryfer.shinyguitar",
        "CC0-1.0",
        "57243cca85277dbcc120ce17c6178032f93c80f3",
    ),
    (
        "Squidpipes, Karoryfer Samples",
        "https://github.com/sfzinstruments/karoryfer.squidpipes",
        "CC0-1.0",
        "b258528c8f49d6389ec2b4ec04a8b10013169dd9",
    ),
    (
        "String Cyborgs, Karoryfer Samples",
        "https://github.com/sfzinstruments/karoryfer.string-cyborgs",
        "CC0-1.0",
        "f2238b3e36ae64c6383356221dc89c9c476c7b11",
    ),
    (
        "Swagbass, Karoryfer Samples",
        "https://github.com/sfzinstruments/karoryfer.swagbass",
        "CC0-1.0",
        "9d10fcae71af1975988ddecd5af1c95d372c7355",
    ),
    (
        "War Tuba, Karoryfer Samples",
        "https://github.com/sfzinstruments/karoryfer.war-tuba",
        "CC0-1.0",
        "5b62dd6ef6b00281bb734769e44a63f5e013018a",
    ),
    (
        "Weresax, Karoryfer Samples",
        "https://github.com/sfzinstruments/karoryfer.weresax",
        "CC0-1.0",
        "595d1fc1044edf6260d44b8215b723a3fbdd1802",
    ),
    (
        "Discord SFZ General MIDI Bank (instruments 2, 3, 5, 26, 34, 46, 105)",
        "https://github.com/sfzinstruments/Discord-SFZ-GM-Bank",
        "CC0-1.0",
        "7a9c478fe331f94f246d33332f0adedb25bbbe27",
    ),
    (
        "E-Pianos, Greg Sullivan",
        "https://github.com/sfzinstruments/GregSullivan.E-Pianos",
        "CC-BY-3.0",
        "8c3e581acda3594b553948ff0222d4f84a698376",
    ),
    (
        "Splendid Grand Piano, AKAI",
        "https://github.com/sfzinstruments/SplendidGrandPiano",
        "public domain",
        "1c595d827b7fd7f0be3134aaed0f90b3662a09cf",
    ),
    (
        "Soundfonts, Ethan Winer",
        "https://github.com/sfzinstruments/EthanWiner.Soundfonts",
        "public domain",
        "173e3f897a922dc9fb9b96ae743f82c9d5ad1e19",
    ),
    (
        "Solo Saxophones, Music Technology Group",
        "https://github.com/sfzinstruments/MTG.SoloSax",
        "CC-BY-4.0",
        "b494d256549b3d088fdec176ce82867f8a1f58b2",
    ),
    (
        "Spanish classical guitar, FreePats",
        "https://github.com/freepats/spanish-classical-guitar",
        "CC0-1.0",
        "6f4eb1b092acc88f5448cea1a0001bd07b971af8",
    ),
    (
        "Upright piano KW, FreePats",
        "https://github.com/freepats/upright-piano-KW",
        "CC0-1.0",
        "570f6c60ed2eff67accad3b85d5b452e57a3ad28",
    ),
    (
        "Double bass by Rubner, D. Smolken",
        "https://github.com/sfzinstruments/dsmolken.double-bass",
        "CC0-1.0",
        "c2985eb647109d2a8f30a70071e3e163339d7396",
    ),
)

# Looked for in this order in a file's path below the folder, in lower case and with spaces for underscores; None leaves
# an instrument out.
_FAMILIES: tuple[tuple[str, str | None], ...] = (
    # Kept for measuring with, or under a licence that does not allow this.
    (r"salamander|jrhodes3|001-acoustic grand piano", None),
    (r"drum|perc|\bkit\b|cymbal|snare|tom\b|timpani|gong|clap|cowbell|tamb|noise|fx\b|sfx|effects?\b", None),
    # The same recordings once more.
    (r"cosmonaut/.*( all| bass|main| map|[12]$)|cowsynth.*(pad|pluck)|\(nl\)", None),
    (r"emily (three|five) voice|shinyguitar/.*main|growlybass (excessive|vicious)|pastabass.*combo", None),
    (r"meatbass.*(basic|mw|modwheel|3vel|three)|rubner.*switched|cyborgs.*(one|one voice)$", None),
    # Out of tune over part of their range.
    (r"^ganjo/|unitra flutes|cowsynth (asthmatic|fancy|shifty)", None),
    (r"cosmonaut", "organ"),
    # Parts of other files, and articulations that are no plain notes.
    (r"\bmap\b|mappings|things|controls|bearcussion|squynth", None),
    (
        r"harmonic(?!a)|trem|trill|slide|sliding|scrape|mute|release|legato|glis|squeal|bend\b|growls?\b|flutter|\bchords?\b|phrase",
        None,
    ),
    (r"distort|overdrive|high.?gain|metal", "distorted guitar"),
    (r"electric.?piano|e-?piano|rhodes|wurl|clavi|harpsi|piano|grand", "piano"),
    (
        r"marimba|vibra|vibes|xylo|glock|celest|music.?box|tubular|bells?\b|dulcimer|kalimba|steel.?drum|crotale",
        "mallets",
    ),
    (r"organ\b|accordion|saxcordion|harmonica|harmonium|bandoneon|drawbar", "organ"),
    (r"meatbass.*arco|double.?bass.*arco|contrabass.*(arco|sus)", "strings"),
    (r"bass(?!oon)", "bass"),
    (r"guitar|banjo|ganjo|ukulele|mandolin|sitar|koto|shamisen|\blute\b", "guitar"),
    (r"violin|viola|cello|strings?\b|ensemble|fiddle|pizz|harp\b", "strings"),
    (r"choir|voice|vox|aah|ooh|vocal", "voice"),
    (r"trumpet|trombone|tuba|horn|brass|cornet|euphonium", "brass"),
    (
        r"sax|flute|clarinet|oboe|bassoon|recorder|piccolo|whistle|bagpipe|squidpipes|ocarina|pan.?pipe",
        "reeds and pipes",
    ),
    (r"lead|cowsynth|square|saw", "synth lead"),
    (r"pad\b|sweep|warm|halo", "synth pad"),
)
_HELD = ("organ", "strings", "voice", "brass", "reeds and pipes", "synth lead", "synth pad")
_PLUCKED = re.compile(r"pizz|stac|spic|pluck|hit\b|short")
# A library whose recordings of held instruments are shorter and do not loop is taken for one that dies away.
_HELD_S = 2.5
_FEWEST_KEYS = 12
# Above, bass libraries keep their noises (written pitches: they are moved down by an octave where need be).
_HIGHEST_BASS = 74


def family_of_name(name: str) -> str | None:
    """The family that a file's path stands for, or None for what is unknown or unfit."""
    lowered = name.lower().replace("_", " ")
    return next((family for pattern, family in _FAMILIES if re.search(pattern, lowered)), None)


def sampled_sounds(folder: Path) -> tuple[list[SampledSound], list[str]]:
    """Every instrument of the SFZ files below a folder that has a family and is in tune.

    With it, for everything else, its name and why it is left out.
    """
    sounds: list[SampledSound] = []
    left_out = []
    seen: set[frozenset[Region]] = set()
    for path in sorted(folder.rglob("*.[sS][fF][zZ]")):
        name = str(path.relative_to(folder).with_suffix(""))
        try:
            sound, reason = _read(path, name, seen)
        except (OSError, RuntimeError, ValueError) as failure:
            sound, reason = None, str(failure)
        if sound is None:
            left_out.append(f"{name}: {reason}")
        else:
            sounds.append(sound)
    return sounds, left_out


def _read(path: Path, name: str, seen: set[frozenset[Region]]) -> tuple[SampledSound | None, str]:
    """One file's sound, or why it is none."""
    family = family_of_name(name)
    if family is None:
        return None, "no family, or no plain notes"
    regions = tuple(region for region in regions_of(path) if family != "bass" or region.root <= _HIGHEST_BASS)
    if not regions:
        return None, "no regions with recordings"
    if frozenset(regions) in seen:
        return None, "the same as another"
    seen.add(frozenset(regions))
    sound = sampled_sound(f"sfz:{name}", family, regions)
    low, high = sound.keys
    if high - low < _FEWEST_KEYS:
        return None, "too few keys"
    error = check_tuning(sound)
    if abs(abs(error) - 1200) <= OUT_OF_TUNE_CENTS:
        # Basses and guitars are often mapped as they are written, an octave above what sounds.
        sound = sampled_sound(sound.name, family, tuple(_moved(region, round(error / 100)) for region in regions))
        error = check_tuning(sound)
    if not abs(error) <= OUT_OF_TUNE_CENTS:
        return None, f"{error:.0f} cents out of tune"
    return sound, ""


def _moved(region: Region, semitones: int) -> Region:
    keys = region.keys[0] + semitones, region.keys[1] + semitones
    return replace(region, root=region.root + semitones, keys=keys)


def sampled_sound(name: str, family: str, regions: tuple[Region, ...]) -> SampledSound:
    """A sound of these regions (one at least); its middle recording tells whether it lasts while a key is held."""
    middle = sorted(regions, key=lambda region: region.root)[len(regions) // 2]
    recording = recording_of(middle)
    lasts = recording.loop is not None or recording.samples.size / recording.rate_hz >= _HELD_S
    held = family in _HELD and lasts and not _PLUCKED.search(name.lower())
    return SampledSound(name, family, held, regions)
