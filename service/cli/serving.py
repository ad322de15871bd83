"""Commands for whoever runs the service: serve and doctor."""

import asyncio

import click

from service.cli.models import ensure_models
from service.doctor import examine
from service.logs import configure_logging
from service.models import needed_models
from service.settings import MAX_PORT, load_settings


@click.command()
@click.option("--host", help="Address to listen on (STEMSCRIBE_HOST).")
@click.option("--port", type=click.IntRange(0, MAX_PORT), help="Port to listen on, 0 for a free one (STEMSCRIBE_PORT).")
@click.option("--data-dir", type=click.Path(file_okay=False), help="Data folder (STEMSCRIBE_DATA_DIR).")
def serve(host: str | None, port: int | None, data_dir: str | None) -> None:
    """Run the service: API and worker, with an embedded database."""
    from service.serve import serve as run_service  # the HTTP stack, which `doctor` can do without

    settings = load_settings(host=host, port=port, data_dir=data_dir)
    ensure_models(settings, needed_models(settings))
    configure_logging()
    asyncio.run(run_service(settings, announce=lambda line: click.echo(line)))


@click.command()
def doctor() -> None:
    """Say what is there and what is missing: weights, ffmpeg, processor or GPU, database."""
    findings = asyncio.run(examine(load_settings()))
    for finding in findings:
        mark = click.style("ok     ", fg="green") if finding.good else click.style("missing", fg="red")
        click.echo(f"{mark} {finding.what}: {finding.detail}")
    if not all(finding.good for finding in findings):
        raise SystemExit(1)
