"""The codes of a run's encoder, written as features for whatever comes next."""

import sys
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..models.core import main_output
from .data import read_inputs
from .data.cache import write_npz
from .data.inputs import with_path
from .evaluation import compute_rows
from .serve import open_run, seed_folders
from .steps import preparation


def encode_files(folder: Path, files: list[Path], out: Path, trust: bool) -> tuple[int, ...]:
    """Writes the codes of all examples in the files as an NPZ, `codes` [N, latent] float32 and `names` [N], and returns
    the codes' shape. Of several files, names have the paths as given. Of a posterior the codes are the means. Of
    several seeds the first one's encoder is used: each has a code of its own.

    Raises UserError, before anything is read, for a run without an encoder and for a file that is there already.
    """
    if out.suffix != ".npz" or not out.parent.is_dir():
        raise UserError(f"--out {out} is to be a file NAME.npz in a folder that exists")
    if out.exists():
        raise UserError(f"--out {out} is there already, and is not replaced")
    experiment, info, _, weights = open_run(seed_folders(folder)[0], trust)
    encoder = getattr(experiment.model.build(), "encode", None)
    if encoder is None:
        raise UserError(f"{folder} has no encoder: {type(experiment.model).__name__} makes no code, as autoencoders do")
    prepare, _ = preparation(info)
    inputs = [read_inputs(path, info) for path in files]
    for note in (note for found in inputs for note in found.notes):
        print(f"purezoo: {note}", file=sys.stderr)

    def encode(weights, x):
        return main_output(encoder(weights["params"], weights["state"], prepare(x)))

    names = inputs[0].names
    if len(files) > 1:
        names = [name for path, found in zip(files, inputs, strict=True) for name in with_path(path, found.names)]
    codes = np.concatenate([compute_rows(encode, weights, found.x, 256) for found in inputs]).astype(np.float32)
    write_npz(out, {"codes": codes, "names": np.array(names)})
    return codes.shape
