"""Types of numbers on command lines; argparse says which option was given what they refuse."""

import argparse
from collections.abc import Callable


def whole_number(least: int) -> Callable[[str], int]:
    """What argparse reads a number by: a whole one from ``least`` on.

    It raises argparse.ArgumentTypeError for anything else.
    """

    def parsed(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"must be a whole number, at least {least}, not {text}")
        return number

    return parsed


count = whole_number(1)
"""Of things that there must be."""
any_number = whole_number(0)
"""Of things that there may be, and of seeds."""
