"""Commands for whoever runs the service: serve, api, worker and doctor."""

import asyncio
import os

import click

from pipeline.memory import keep_freed_memory
from service.cli.models import ensure_models, ensure_soundfont
from service.db.models import Queue
from service.doctor import examine
from service.logs import configure_logging
from service.models import models_of_queues, needed_models
from service.settings import MAX_PORT, load_settings
from service.shared_metrics import share_metrics


@click.command()
@click.option("--host", help="Address to listen on (STEMSCRIBE_HOST).")
@click.option("--port", type=click.IntRange(0, MAX_PORT), help="Port to listen on, 0 for a free one (STEMSCRIBE_PORT).")
@click.option("--data-dir", type=click.Path(file_okay=False), help="Data folder (STEMSCRIBE_DATA_DIR).")
def serve(host: str | None, port: int | None, data_dir: str | None) -> None:
    """Run the service: API and worker, with an embedded database."""
    settings = load_settings(host=host, port=port, data_dir=data_dir)
    ensure_models(settings, needed_models(settings))
    ensure_soundfont(settings)
    configure_logging(settings.log_format)
    share_metrics(settings.data_dir)  # before they are made, which the next line does
    from service.serve import serve as run_service  # and the HTTP stack, which `doctor` can do without

    asyncio.run(run_service(settings, announce=lambda line: click.echo(line)))


@click.command()
@click.option("--host", help="Address to listen on (STEMSCRIBE_HOST).")
@click.option("--port", type=click.IntRange(0, MAX_PORT), help="Port to listen on, 0 for a free one (STEMSCRIBE_PORT).")
def api(host: str | None, port: int | None) -> None:
    """Run the API alone, in a fleet: tasks are done by `stemscribe worker`."""
    from service.serve import serve_api

    settings = load_settings(host=host, port=port)
    configure_logging(settings.log_format)
    asyncio.run(serve_api(settings, announce=lambda line: click.echo(line)))


@click.command()
@click.option(
    "--queues",
    default=",".join(Queue),
    show_default=True,
    help="What to do, separated by commas: separation (GPU work), midi (transcription), io (fetching, encoding, "
    "callbacks).",
)
def worker(queues: str) -> None:
    """Run a worker, in a fleet: any number of them, on any machines."""
    from service.worker.process import run_worker

    settings = load_settings()
    names = _queues(queues)
    ensure_models(settings, models_of_queues(settings, names))
    if Queue.MIDI in names:
        ensure_soundfont(settings)
    configure_logging(settings.log_format)
    keep_freed_memory()  # before there are threads
    # As beside `serve`: threads that spin while they wait are slow wherever others use the cores too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    asyncio.run(run_worker(settings, names))


def _queues(text: str) -> list[Queue]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = [queue.value for queue in Queue]
    if not names or (unknown := [name for name in names if name not in known]):
        wrong = f"{unknown[0]!r} is no queue. " if names else ""
        raise click.BadParameter(f"{wrong}Choose from: {', '.join(known)}.", param_hint="--queues")
    return [Queue(name) for name in dict.fromkeys(names)]


@click.command()
def doctor() -> None:
    """Say what is there and what is missing: weights, ffmpeg, processor or GPU, database."""
    findings = asyncio.run(examine(load_settings()))
    for finding in findings:
        mark = click.style("ok     ", fg="green") if finding.good else click.style("missing", fg="red")
        click.echo(f"{mark} {finding.what}: {finding.detail}")
    if not all(finding.good for finding in findings):
        raise SystemExit(1)
