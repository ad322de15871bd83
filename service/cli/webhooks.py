"""Commands for whoever receives callbacks."""

import click

from service.secrets import load_secrets
from service.settings import load_settings
from service.signatures import show_secret


@click.group()
def webhooks() -> None:
    """Callbacks: the keys that receivers check their signatures with."""


@webhooks.command("secrets")
def webhooks_secrets() -> None:
    """Print the keys that sign callbacks, as settings; keep them secret.

    WEBHOOK_HMAC_KEY checks X-Webhook-Signature; WEBHOOK_SECRET, in any Standard Webhooks library, webhook-signature.
    Of several secrets, the first is the newest.
    """
    settings = load_settings()
    signer = load_secrets(settings).signer(settings)
    click.echo(f"STEMSCRIBE_WEBHOOK_HMAC_KEY={signer.hmac_key}")
    click.echo(f"STEMSCRIBE_WEBHOOK_SECRET={','.join(map(show_secret, signer.secrets))}")
