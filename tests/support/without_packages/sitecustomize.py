"""A machine without some packages, for whole processes: Python runs this at its start where it finds it on its path.

``WITHOUT_PACKAGES`` names them, separated by commas; importing one fails as if it were not installed.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_GONE = set(os.environ["WITHOUT_PACKAGES"].split(","))


class _Refuse:
    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] in _GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


sys.meta_path.insert(0, _Refuse())
