"""A language model token by token, as the peers on JAX all do it.

`step` is a pure function (weights, state, token []) -> (state, logits [V]).
"""

from collections.abc import Callable

import jax
import numpy as np
from workloads import CHUNK

SCAN, CALLS = "scan over the tokens", "a jitted call for each token"


def stream(step: Callable, weights, state) -> Callable[[int], None]:
    """Reads what the logits find likeliest, a token in each jitted call, which waits for the logits of the last."""
    call, token = jax.jit(step, donate_argnums=1), np.int32(0)

    def go_on(steps: int) -> None:
        nonlocal state, token
        for _ in range(steps):
            state, logits = call(weights, state, token)
            token = np.int32(np.asarray(logits).argmax())

    return go_on


def generate(step: Callable, weights, state, form: str) -> Callable[[int], None]:
    """Samples CHUNK tokens in a step, which are then fetched together: in one compiled loop, or in as many calls."""

    def one(weights, state, token, key):
        state, logits = step(weights, state, token)
        key, now = jax.random.split(key)
        return state, jax.random.categorical(now, logits), key

    def chunk(weights, state, token, key):
        def body(carry, _):
            carry = one(weights, *carry)
            return carry, carry[1]

        return jax.lax.scan(body, (state, token, key), length=CHUNK)

    call = jax.jit(chunk if SCAN in form else one, donate_argnums=1)
    carry = state, jax.numpy.int32(0), jax.random.key(0)

    def go_on(steps: int) -> None:
        nonlocal carry
        for _ in range(steps):
            if SCAN in form:
                carry, tokens = call(weights, *carry)
            else:
                tokens = []
                for _ in range(CHUNK):
                    carry = call(weights, *carry)
                    tokens.append(carry[1])
            jax.device_get(tokens)

    return go_on
