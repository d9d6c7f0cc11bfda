"""Text as tokens: the characters of a file in UTF-8, or the bytes of any file, read in windows, each token once."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ...errors import UserError
from .examples import Windows
from .raw import check_memory
from .split import Splits

Tokens = Literal["characters", "bytes"]
UNKNOWN = "\ufffd"  # stands for every character that the training text does not have
NOTHING = -1  # the target behind the end of the text, which counts nowhere


class Text(NamedTuple):
    """A text in windows of T tokens, and the names of its tokens."""

    x: Windows  # [N, T] integers
    y: Windows  # [N, T] the token that follows each; NOTHING behind the end
    splits: Splits  # in the order of the text: training, validation, test
    names: tuple[str, ...]


def read_text(path: Path, tokens: Tokens, window: int, test: float, validation: float) -> Text:
    """The text of a file in windows, whose last part is the test split, and the part before it the validation split.

    Every token but the first is predicted in one window of one split. The characters are those of the training split,
    in the order of their code points, and UNKNOWN; bytes are all 256. UserError for a file that cannot be read or is
    no UTF-8, and for a text too short for its splits or of one character alone.
    """
    codes = read_codes(path, tokens)
    n = -(-(len(codes) - 1) // window)
    parts = {"test": max(1, round(test * n)), "validation": max(1, round(validation * n)) if validation else 0}
    trained = n - sum(parts.values())
    if trained < 1:
        if window == 1 or len(codes) <= 3:
            raise UserError(f"{path} has {len(codes)} {tokens}, too few for these splits: a longer text is needed.")
        raise UserError(
            f"{path} has {len(codes)} {tokens}, which are too few for windows of {window}, of which each split needs "
            "one: choose a smaller --data.window."
        )
    if len(np.unique(codes[: trained * window + 1])) < 2:
        raise UserError(f"The training part of {path} repeats a single token: there is nothing to learn.")
    names = vocabulary(codes[: trained * window + 1], tokens)
    indices = encode(codes, names, tokens)
    x = np.zeros(n * window, np.uint8 if len(names) <= 256 else np.int32)
    y = np.full(n * window, NOTHING, np.int16 if len(names) <= 256 else np.int32)
    x[: len(codes) - 1], y[: len(codes) - 1] = indices[:-1], indices[1:]
    rows = np.split(np.arange(n, dtype=np.int32), [trained, n - parts["test"]])
    splits = {name: part for name, part in zip(("train", "validation", "test"), rows, strict=True) if len(part)}
    return Text(Windows(x, window, window), Windows(y, window, window), splits, names)


def read_codes(path: Path, tokens: Tokens) -> np.ndarray:
    """The code points of a file's characters, uint32, or its bytes, uint8. UserError where it cannot be read."""
    try:
        check_memory(8 * path.stat().st_size, f"The text {path}")
        content = path.read_bytes()
        if tokens == "bytes":
            return np.frombuffer(content, np.uint8)
        return code_points(content.decode("utf-8-sig"))
    except OSError as error:
        raise UserError(f"The file {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"The file {path} is not text in UTF-8 (byte {error.start}): --data.tokens bytes reads any file."
        ) from error


def code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def vocabulary(codes: np.ndarray, tokens: Tokens) -> tuple[str, ...]:
    """The names of the tokens: the characters that occur in code points and UNKNOWN, or the numbers of all bytes."""
    if tokens == "bytes":
        return tuple(map(str, range(256)))
    return (*(chr(code) for code in np.unique(codes) if chr(code) != UNKNOWN), UNKNOWN)


def encode(codes: np.ndarray, names: tuple[str, ...], tokens: Tokens) -> np.ndarray:
    """The index of each token, int32; of a character without a name that of UNKNOWN."""
    if tokens == "bytes":
        return codes.astype(np.int32)
    known = code_points("".join(names[:-1]))
    place = np.searchsorted(known, codes).clip(max=len(known) - 1)
    return np.where(known[place] == codes, place, len(known)).astype(np.int32)


def peek_text(path: Path, tokens: Tokens, window: int) -> tuple[tuple[int, ...], int]:
    """The shape of one example and the number of tokens; of characters about, for those of the whole text."""
    return (window,), 256 if tokens == "bytes" else len(vocabulary(read_codes(path, tokens), tokens))
