"""Commands for whoever runs the bucket."""

import json

import click

from service.settings import SettingsError, load_settings
from service.storage.lifecycle import lifecycle_rules


@click.group()
def storage() -> None:
    """Where files are kept."""


@storage.command("lifecycle")
def storage_lifecycle() -> None:
    """Print the lifecycle rules for the bucket, as JSON.

    They remove what a service leaves that is no more; while it runs, it deletes by itself what has expired. Print them
    again when STEMSCRIBE_RETENTION_DAYS grows. To apply:

    aws s3api put-bucket-lifecycle-configuration --bucket BUCKET --lifecycle-configuration file://RULES.json
    """
    settings = load_settings()
    if not settings.storage_url:
        raise SettingsError("STEMSCRIBE_STORAGE_URL is not set: a local folder needs no lifecycle rules.")
    click.echo(json.dumps(lifecycle_rules(settings.storage_url, settings.retention_days), indent=2))
