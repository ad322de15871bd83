"""``python -m service.cli`` is the ``stemscribe`` command."""

from service.cli.main import main

main()
