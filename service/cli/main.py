"""The ``stemscribe`` command: its groups, and how errors end it."""

import sys

import click

from pipeline.errors import ModelError, PipelineError
from service import __version__
from service.cli import admin, models, songs
from service.errors import ServiceError

EXIT_FAILED = 1
EXIT_NO_WEIGHTS = 3
EXIT_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stemscribe")
def cli() -> None:
    """Songs into stems, stems into notes: on your own machine."""


for command in (
    songs.transcribe, songs.separate, songs.midi, admin.serve, admin.keys, models.models, admin.doctor
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """Run the command line; errors that a user can mend are shown without a traceback."""
    try:
        code = cli(standalone_mode=False)
    except click.exceptions.Abort:
        code = EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (PipelineError, ServiceError) as error:
        click.echo(f"stemscribe: {error.message}", err=True)
        code = EXIT_NO_WEIGHTS if isinstance(error, ModelError) else EXIT_FAILED
    sys.exit(code or 0)
