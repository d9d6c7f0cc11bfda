"""How a command ends early: by something the user can mend (exit code 2), or by a signal (128 + its number)."""

import difflib
import signal
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """Something the user can mend: a wrong name, value, file or folder. Its message says what, and how."""


class Interrupted(Exception):
    """A signal stopped the run in `folder` after its state was saved. `code`: 128 + the signal's number."""

    def __init__(self, number: int, step: int, folder: Path):
        self.code, self.step, self.folder, self.name = 128 + number, step, folder, signal.Signals(number).name
        super().__init__(self.name)


def printable(text: str) -> str:
    """The text with escapes for what would move the cursor or change colours, as names of foreign files may."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_out_of_memory(error: BaseException) -> bool:
    """Of a device, as XLA says it, or of Python."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def nearest(name: str, choices: Iterable[str]) -> str:
    """ " Did you mean 'x'?" for the choice most like `name`, or "" where none is alike."""
    written = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(name.lower(), list(written), n=1)
    return f" Did you mean '{written[found[0]]}'?" if found else ""
