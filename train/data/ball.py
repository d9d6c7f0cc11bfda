"""A thrown ball, simulated: a few noisy snapshots of its flight, where it came from, and where it will be.

It flies without drag and bounces off the floor, losing a part of its vertical speed each time. Nothing is random but by
a fixed seed, so these data are the same everywhere.
"""

import numpy as np

from .examples import Ragged
from .raw import Raw

EXAMPLES, SNAPSHOTS = 20_000, 10
GRAVITY, RESTITUTION, NOISE = 9.81, 0.8, 0.01  # m/s^2; part of the vertical speed that a bounce leaves; m
BEFORE, BETWEEN, TICK = 0.5, 0.1, 0.005  # s before the first snapshot, between them, and of a step of the simulation
AHEAD = (0.25, 0.5, 0.75, 1.0)  # s after the last snapshot
TARGETS = ("origin_x", "origin_y", *(f"{axis}_in_{time:g}_s" for time in AHEAD for axis in "xy"))


def read_ball() -> Raw:
    """x: 1 to SNAPSHOTS positions [T, 2] in m, each with noise; y [N, 10] in m: the point where the ball was thrown,
    BEFORE the first snapshot, and its place at the times AHEAD."""
    random = np.random.default_rng(0)
    lengths = np.arange(EXAMPLES, dtype=np.int32) % SNAPSHOTS + 1
    origin = np.stack([random.uniform(-1, 1, EXAMPLES), random.uniform(0.5, 2, EXAMPLES)], 1)
    velocity = np.stack([random.uniform(-3, 3, EXAMPLES), random.uniform(-1, 5, EXAMPLES)], 1)
    path = flight(origin, velocity, BEFORE + SNAPSHOTS * BETWEEN + AHEAD[-1])
    seen = BEFORE + BETWEEN * np.arange(SNAPSHOTS)
    x = at(path, np.tile(seen, (EXAMPLES, 1))) + random.normal(0, NOISE, (EXAMPLES, SNAPSHOTS, 2))
    x[np.arange(SNAPSHOTS) >= lengths[:, None]] = 0
    future = at(path, seen[lengths - 1, None] + np.array(AHEAD))
    y = np.concatenate([origin[:, None], future], 1).reshape(EXAMPLES, -1)
    return Raw(
        Ragged(x.astype(np.float32), lengths), y.astype(np.float32), {"train": EXAMPLES}, features=("x", "y"),
        targets=TARGETS,
    )  # fmt: skip


def flight(origin: np.ndarray, velocity: np.ndarray, seconds: float) -> np.ndarray:
    """The places [N, ticks, 2] of balls thrown from `origin` [N, 2] (m) with `velocity` [N, 2] (m/s).

    A tick moves by the mean of the speeds before and after it, which is exact between bounces.
    """
    place, speed, places = origin.copy(), velocity.copy(), [origin.copy()]
    for _ in range(int(np.ceil(seconds / TICK))):
        place += speed * TICK
        place[:, 1] -= GRAVITY * TICK**2 / 2
        speed[:, 1] -= GRAVITY * TICK
        below = (place[:, 1] < 0) & (speed[:, 1] < 0)
        speed[below, 1] *= -RESTITUTION
        place[below, 1] *= -RESTITUTION
        places.append(place.copy())
    return np.stack(places, 1)


def at(path: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The places [N, T, 2] at the times [N, T], to the nearest tick."""
    return path[np.arange(len(path))[:, None], np.rint(times / TICK).astype(int)]
