"""A cache of decoded data sets in the user's cache folder: one NPZ file each, its checksums checked on reading."""

import contextlib
import hashlib
import json
import logging
import os
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .examples import Ragged
from .raw import Raw

log = logging.getLogger(__name__)
LAYOUT = 1  # of the files below: part of every key
UNUSED_DAYS = 30  # after which a file goes


def cache_folder() -> Path:
    """$PUREZOO_CACHE, or $XDG_CACHE_HOME/purezoo, or ~/.cache/purezoo. It may not exist."""
    if own := os.environ.get("PUREZOO_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "purezoo"


def cached(name: str, key: Any, build: Callable[[], Raw]) -> Raw:
    """`build()`, or what it gave when it was last called for this `name` and `key` (JSON values).

    A damaged file is built anew; a folder that cannot be written means no cache. Neither is an error. Data of which a
    part could not be read are not kept: it may be there the next time.
    """
    digest = hashlib.sha256(json.dumps([LAYOUT, key]).encode()).hexdigest()[:16]
    path = cache_folder() / "data" / f"{name}-{digest}.npz"
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            with contextlib.suppress(OSError):
                os.utime(path)  # used today
            x = Ragged(file["x"], file["lengths"]) if "lengths" in file else file["x"]
            return Raw(x, file["y"], **_thaw(json.loads(str(file["rest"]))))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        log.warning("The cached data %s cannot be read and are made anew: %s", path, error)
    raw = build()
    if raw.skipped:
        return raw
    rest = {k: v for k, v in raw._asdict().items() if k not in ("x", "y")}
    try:
        arrays: dict[str, Any] = raw.x._asdict() if isinstance(raw.x, Ragged) else {"x": raw.x}
        write_npz(path, arrays | {"y": raw.y, "rest": np.array(json.dumps(rest))})
        _clear(path.parent)
    except OSError as error:
        log.warning("The decoded data are not cached, so the next run decodes them again: %s", error)
    return raw


def _clear(folder: Path) -> None:
    """Removes what nobody has used for long: data sets that have changed since, and what killed processes left."""
    for path in [*folder.glob("*.npz"), *folder.glob("*.tmp")]:
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > UNUSED_DAYS * 86400:
                path.unlink()


def _thaw(rest: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in rest.items()}


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an NPZ file so that no reader ever sees a part of it. OSError as usual, leaving nothing behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # a mistake of the stub
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
