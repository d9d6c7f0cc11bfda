#!/usr/bin/env python3
"""How long recurrent cells remember: two problems at growing lag, as accuracy on new examples.

    scripts/memory.py [--cells lstm gru ...] [--lags 10 30 100 300 1000] [--seeds 3] [--out memory.png] [--json FILE]

adding: of random numbers two are marked, one in each half of the sequence; at its end the network tells their sum. An
answer is right within 0.04 (Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735, experiment 4).
copying: a few symbols, then silence for as long as the lag, then a sign: now they are to be repeated. The share of
symbols repeated rightly, where guessing gets one in eight (ibid., and Arjovsky et al. 2016, arXiv:1511.06464).

Each seed of a cell trains for the same number of steps, or until it is right in 99 %. The forget gates of `lstm_open`
start with a bias of log(lag), with which memories last about that long (Tallec and Ollivier 2018, arXiv:1804.11188);
those of `lstm` with 1. `tcn` is no cell: a temporal convolutional network, whose reach is made longer than the lag.
What --json holds already is not trained again.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from purezoo.errors import UserError
from purezoo.models import RNN, TCN
from purezoo.models.rnn import CELLS
from purezoo.train.folder import new_file

SYMBOLS, COPIED = 8, 3
KERNEL = 5  # of the temporal convolutions
OPEN = "lstm_open"
BATCH, TESTED = 64, 1024
EVERY = 250  # steps between evaluations


class Problem(NamedTuple):
    """examples(key, n, lag) -> x [n, T, D], y; answers of the network that are right; a loss for each example."""

    outputs: int
    read: Literal["last", "every"]
    examples: Callable
    loss: Callable
    right: Callable


def adding(key, n: int, lag: int):
    """x [n, lag, 2]: numbers in [0, 1) and marks; y [n, 1], the sum of the two that are marked."""
    keys = jax.random.split(key, 3)
    numbers = jax.random.uniform(keys[0], (n, lag))
    first = jax.random.randint(keys[1], (n,), 0, lag // 2)
    second = jax.random.randint(keys[2], (n,), lag // 2, lag)
    marks = jax.nn.one_hot(first, lag) + jax.nn.one_hot(second, lag)
    return jnp.stack([numbers, marks], -1), (numbers * marks).sum(1, keepdims=True)


def copying(key, n: int, lag: int):
    """x [n, COPIED + lag + COPIED, SYMBOLS + 2] one-hot: symbols, silence with a sign at its end; y [n, COPIED]."""
    y = jax.random.randint(key, (n, COPIED), 0, SYMBOLS)
    silence = jnp.full((n, lag + COPIED), SYMBOLS).at[:, lag - 1].set(SYMBOLS + 1)
    return jax.nn.one_hot(jnp.concatenate([y, silence], 1), SYMBOLS + 2), y


PROBLEMS = {
    "adding": Problem(
        1,
        "last",
        adding,
        lambda out, y: jnp.square(out - y).mean(-1),
        lambda out, y: jnp.abs(out - y) < 0.04,
    ),
    "copying": Problem(
        SYMBOLS,
        "every",
        copying,
        lambda out, y: optax.softmax_cross_entropy_with_integer_labels(out[:, -COPIED:], y).mean(-1),
        lambda out, y: out[:, -COPIED:].argmax(-1) == y,
    ),
}


def learn(problem: Problem, network: Any, lag: int, seeds: int, steps: int, rate: float) -> list[tuple[float, int]]:
    """Of each seed the accuracy on new examples, and the steps that it took."""
    model, optimizer = network.build(), optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))

    @jax.jit
    def begin(key):
        params, _ = model.init(key, problem.examples(key, BATCH, lag)[0])
        return params, optimizer.init(params)

    def step(key, run, i):
        params, opt = run
        x, y = problem.examples(jax.random.fold_in(key, i), BATCH, lag)
        grads = jax.grad(lambda p: problem.loss(model.apply(p, {}, x, train=True)[0], y).mean())(params)
        updates, opt = optimizer.update(grads, opt, params)
        return (optax.apply_updates(params, updates), opt), None

    @jax.jit
    def advance(key, run, first):
        """EVERY steps on, and the accuracy then."""
        run, _ = jax.lax.scan(partial(step, key), run, first + jnp.arange(EVERY))
        x, y = problem.examples(jax.random.fold_in(key, steps), TESTED, lag)
        return run, problem.right(model.apply(run[0], {}, x)[0], y).mean()

    found = []
    for seed in range(seeds):
        key = jax.random.key(seed)
        run, taken, accuracy = begin(key), 0, 0.0
        while taken < steps and accuracy < 0.99:
            run, right = advance(key, run, taken)
            taken, accuracy = taken + EVERY, float(right)
        found.append((accuracy, taken))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=[*PROBLEMS])
    parser.add_argument(
        "--cells", nargs="+", choices=[*CELLS, OPEN, "tcn"], default=["elman", "lstm", OPEN, "gru", "tcn"]
    )
    parser.add_argument("--lags", nargs="+", type=int, default=[10, 30, 100, 300, 1000])
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000, help=f"the most training steps, a multiple of {EVERY}")
    parser.add_argument("--rate", type=float, default=3e-3, help="Adam's learning rate")
    parser.add_argument("--out", type=Path, help="picture to draw; it must not exist yet")
    parser.add_argument("--json", type=Path, help="file of the results, which are added to those that it holds")
    args = parser.parse_args()
    try:
        if args.out:
            new_file(args.out, "--out", ".png")
    except UserError as error:
        parser.error(str(error))
    if args.json and not args.json.parent.is_dir():
        parser.error(f"--json {args.json}: there is no folder {args.json.parent}")
    if min(args.lags) < 2 or min(args.seeds, args.steps, args.hidden) < 1:
        parser.error("a lag is at least 2, and there is at least one seed, one step and one unit")
    if args.steps % EVERY or not 0 < args.rate < math.inf:
        parser.error(f"the steps are a multiple of {EVERY}, and the rate is above 0")
    try:
        found = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
    except (OSError, ValueError) as error:
        parser.error(f"{args.json} holds no results: {error}")
    settings = f"hidden {args.hidden} steps {args.steps} rate {args.rate}"
    for lag in args.lags:
        for problem in args.problems:
            for cell in args.cells:
                name = f"{problem} {cell} {lag} {settings} x{args.seeds}"
                if name not in found:
                    found[name] = one(problem, cell, lag, args)
                    if args.json:
                        args.json.write_text(json.dumps(found, indent=1) + "\n")
                accuracy = "  ".join(f"{a:7.2%}" for a in found[name]["accuracy"])
                steps = ", ".join(map(str, found[name]["steps"]))
                print(f"{problem:8} lag {lag:5} {cell:15} {accuracy}  after {steps} steps", flush=True)
    if args.out:
        draw([row for name, row in found.items() if f" {settings} x" in name], args.out)  # of all lags in the file
    return 0


def one(problem: str, cell: str, lag: int, args) -> dict:
    what, started = PROBLEMS[problem], time.perf_counter()
    network: Any = RNN(outputs=what.outputs, read=what.read, hidden=args.hidden, cell="lstm" if cell == OPEN else cell)
    if cell == OPEN:
        network = replace(network, forget_bias=math.log(lag))
    if cell == "tcn":
        blocks = math.ceil(math.log2(1 + (lag + 2 * COPIED) / (2 * (KERNEL - 1))))
        network = TCN(what.outputs, width=args.hidden // 2, blocks=blocks, kernel=KERNEL, read=what.read, dropout=0.0)
    accuracy, steps = zip(*learn(what, network, lag, args.seeds, args.steps, args.rate), strict=True)
    seconds = round(time.perf_counter() - started, 1)
    return {"problem": problem, "cell": cell, "lag": lag, "accuracy": accuracy, "steps": steps, "seconds": seconds}


def draw(rows: list[dict], path: Path) -> None:
    """Accuracy against lag, all cells, a line each: the mean of the seeds, and from the worst to the best."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    problems = [name for name in PROBLEMS if any(row["problem"] == name for row in rows)]
    for axes, problem in zip(figure.subplots(1, len(problems), squeeze=False)[0], problems, strict=True):
        for cell in dict.fromkeys(row["cell"] for row in rows):
            points = sorted((r["lag"], r["accuracy"]) for r in rows if (r["problem"], r["cell"]) == (problem, cell))
            lags, seeds = [lag for lag, _ in points], [accuracy for _, accuracy in points]  # which may differ in number
            (line,) = axes.plot(lags, [np.mean(a) for a in seeds], marker="o", label=cell)
            least, most = [min(a) for a in seeds], [max(a) for a in seeds]
            axes.fill_between(lags, least, most, color=line.get_color(), alpha=0.2)
        axes.set(title=problem, xlabel="lag, steps", ylabel="accuracy", xscale="log", ylim=(0, 1.02))
        axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    raise SystemExit(main())
