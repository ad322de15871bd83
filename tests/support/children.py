"""What a test leaves running: processes of its own, told from the servers that other tests share."""

from collections.abc import Callable

import psutil
import pytest


@pytest.fixture
def left_running() -> Callable[[], list[psutil.Process]]:
    """Tells which processes were started since the test began and still run.

    Only our own children count: a database server that other tests share starts workers whenever it likes.
    """
    before = set(psutil.Process().children())
    return lambda: [child for child in psutil.Process().children() if child not in before]
