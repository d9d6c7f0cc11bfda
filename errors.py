"""The one error that a user's input may cause: the command line prints it without a traceback and exits with code 2."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend: a wrong name, value, file or folder. Its message says what, and how."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """" Did you mean 'x'?" for the choice most like `name`, or "" where none is alike."""
    found = difflib.get_close_matches(name, list(choices), n=1)
    return f" Did you mean '{found[0]}'?" if found else ""
