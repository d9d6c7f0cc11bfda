#!/usr/bin/env python3
"""What backpropagation through time takes in memory, by chunk, and whether the gradients are the same.

    scripts/backpropagation_memory.py [--steps 10000] [--chunks 0 1000 100] [--cell gru] [--hidden 64] [--batch 16]

For each chunk a process of its own computes one gradient of an RNN over random sequences of one number a step; chunk 0
is plain backpropagation. The peak is all that was resident, Python and its libraries included. Ends with code 1 where a
gradient differs from the first chunk's by more than 1e-5 of the largest in its array.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TOLERANCE = 1e-5


def gradient(chunk: int, args) -> dict[str, np.ndarray]:
    """The gradient of a mean of squares by each parameter, by name."""
    import jax  # in the children alone: a peak counts that of the process which started this one, too

    from purezoo.models import RNN

    model = RNN(outputs=1, cell=args.cell, hidden=args.hidden, chunk=chunk).build()
    x = np.random.default_rng(0).normal(size=(args.batch, args.steps, 1)).astype(np.float32)

    def loss(params):
        return (model.apply(params, {}, x, train=True)[0] ** 2).mean()

    params, _ = jax.jit(model.init)(jax.random.key(0), x)
    leaves = jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(params))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def child(chunk: int, args, file: Path) -> None:
    """Writes the gradient, and the peak in MB under "peak"."""
    found = gradient(chunk, args)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    np.savez(file, peak=peak, **found)


def measure(chunk: int, args) -> tuple[float, dict[str, np.ndarray]]:
    """The peak in MB and the gradient of a chunk, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.npz"
        flags = [f"--{name}={getattr(args, name)}" for name in ("steps", "cell", "hidden", "batch")]
        subprocess.run([sys.executable, __file__, *flags, f"--chunks={chunk}", f"--child={file}"], check=True)
        with np.load(file) as found:
            arrays = dict(found)
    return float(arrays.pop("peak")), arrays


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--chunks", nargs="+", type=int, default=[0, 1000, 100], help="0: plain backpropagation")
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.chunks[0], args, args.child)
        return 0
    print(
        f"{args.cell} of {args.hidden} units, {args.steps:,} steps, batches of {args.batch}\nchunk    peak", flush=True
    )
    first, worst = {}, 0.0
    for chunk in args.chunks:
        peak, found = measure(chunk, args)
        print(f"{chunk:5,}  {peak:5,.0f} MB", flush=True)
        first = first or found
        worst = np.max([worst, *(np.abs(found[n] - first[n]).max() / np.abs(first[n]).max() for n in first)])  # or NaN
    print(f"gradients differ by at most {worst:.0e} of the largest in their array")
    return int(not worst <= TOLERANCE)


if __name__ == "__main__":
    raise SystemExit(main())
