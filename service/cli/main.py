"""The ``stemscribe`` command: its groups, and how errors end it."""

import importlib
import os
import sys

import click

from pipeline.errors import ModelError, PipelineError
from service import __version__
from service.errors import ServiceError

EXIT_FAILED = 1
EXIT_NO_WEIGHTS = 3
EXIT_INTERRUPTED = 130

# Command -> the module it lives in, and how its help begins.  Imported when called for: neither --help nor listing keys
# must wait for a signal library.
COMMANDS = {
    "transcribe": ("service.cli.songs", "Everything: stems, a MIDI file for the song and one per stem."),
    "separate": ("service.cli.songs", "Stems only, as FLAC of the song's own rate and length."),
    "midi": ("service.cli.songs", "Notes only, without separation: of a stem, or of any audio."),
    "serve": ("service.cli.serving", "Run the service: API and worker, with an embedded database."),
    "api": ("service.cli.serving", "Run the API alone, in a fleet."),
    "worker": ("service.cli.serving", "Run a worker, in a fleet: any number of them."),
    "keys": ("service.cli.keys", "API keys: create, list, limit, rotate, revoke."),
    "webhooks": ("service.cli.webhooks", "Callbacks: the keys that receivers check their signatures with."),
    "db": ("service.cli.db", "The database's schema: bring it to this version's."),
    "storage": ("service.cli.storage", "Where files are kept."),
    "models": ("service.cli.models", "Weights: what there is, what is here, and fetching it."),
    "doctor": ("service.cli.serving", "Say what is there and what is missing."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stemscribe")
def cli() -> None:
    """Songs into stems, stems into notes: on your own machine."""
    from service.settings import unknown_variables  # --help need not wait for what that imports

    for name in unknown_variables(os.environ):
        click.echo(f"stemscribe: {name} is no setting and has no effect; the README lists those there are.", err=True)


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
    except OSError as error:  # a folder that cannot be made, a full disk: what it says is enough
        click.echo(f"stemscribe: {error}", err=True)
        code = EXIT_FAILED
    except Exception as error:
        from service.outages import reason_of_outage  # what that imports takes a while

        if (outage := reason_of_outage(error)) is None:
            raise
        click.echo(f"stemscribe: {outage}", err=True)
        code = EXIT_FAILED
    sys.exit(code or 0)
