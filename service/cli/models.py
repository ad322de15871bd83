"""Commands for weights: list, pull, verify."""

import textwrap
from collections.abc import Iterable

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from pipeline.errors import ModelError
from pipeline.models.catalogue import CATALOGUE
from pipeline.models.soundfonts import installed_soundfont
from pipeline.models.sources import PullProgress
from pipeline.models.store import ModelStore
from service.models import SOUNDFONTS, model_store, needed_models
from service.settings import Settings, load_settings


@click.group()
def models() -> None:
    """Weights: what there is, what is here, and fetching it."""


@models.command("list")
def models_list() -> None:
    """Every model of the catalogue: size, state, purpose and licence."""
    settings = load_settings()
    store = model_store(settings)
    soundfont = installed_soundfont(store)
    needed = (*needed_models(settings), *([soundfont.name] if soundfont else []))
    for entry in CATALOGUE.values():
        state = "here" if store.status(entry.name).present else "not here"
        use = ", used by your settings" if entry.name in needed else ""
        click.echo(f"{entry.name}  ({entry.size_bytes / 1e6:.1f} MB, {entry.purpose}; {state}{use})")
        click.echo(f"    {entry.description}")
        click.echo(textwrap.fill(f"Licence: {entry.licence}", 100, initial_indent="    ", subsequent_indent="    "))
    click.echo(f"Folder: {store.root}")


@models.command("pull")
@click.argument("names", nargs=-1)
def models_pull(names: tuple[str, ...]) -> None:
    """Fetch weights and check them; without NAMES, those that your settings need, and the best soundfont to be had."""
    settings = load_settings()
    for name in names or needed_models(settings):
        _fetch(settings, name)
    if not names:
        _fetch_soundfont(settings)


@models.command("verify")
@click.argument("names", nargs=-1)
def models_verify(names: tuple[str, ...]) -> None:
    """Read weights again and compare their checksums; without NAMES, those needed and all others that are here."""
    settings = load_settings()
    store = model_store(settings)
    needed = needed_models(settings)
    here = [name for name in CATALOGUE if name in needed or store.status(name).present]
    for name in names or here:
        store.verify(name)
        click.echo(f"{name}: as pinned", err=True)


def ensure_soundfont(settings: Settings) -> None:
    """Fetch a soundfont if there is none, the best to be had; say so where there is none, and go on."""
    if not any(model_store(settings).status(name).present for name in SOUNDFONTS):
        _fetch_soundfont(settings)


def ensure_models(settings: Settings, names: Iterable[str]) -> None:
    """Fetch those weights that are not here, with a progress bar on standard error; check those that are.

    Raises:
        ModelError: they cannot be had; the message says why.
    """
    store = model_store(settings)
    for name in names:
        if store.status(name).present:
            store.check_files(name)
        else:
            _pull(store, name)


def _fetch(settings: Settings, name: str) -> None:
    present = model_store(settings).status(name).present
    ensure_models(settings, [name])
    click.echo(f"{name}: {'already here' if present else 'fetched and verified'}", err=True)


def _fetch_soundfont(settings: Settings) -> None:
    for name in SOUNDFONTS:
        try:
            return _fetch(settings, name)
        except ModelError as error:
            click.echo(f"{name}: done without. {error.message}", err=True)
    return click.echo("No soundfont: notes will be played by a plain synthesiser.", err=True)


def _pull(store: ModelStore, name: str) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        tasks: dict[tuple[str, str], int] = {}

        def show(at: PullProgress) -> None:
            key = (at.source, at.file)
            if key not in tasks:
                tasks[key] = bar.add_task(f"{name} from {at.source}", total=at.total_bytes)
            bar.update(tasks[key], completed=at.done_bytes)  # type: ignore[arg-type]  # rich's TaskID is an int

        store.pull(name, show)
