"""Text from a trained language model, one token at a time."""

import codecs
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import UserError
from ..models.core import Model, as_model
from .data import Info
from .data.text import UNKNOWN, code_points, encode
from .serve import open_run, seed_folders

CHUNK = 32  # tokens in one dispatch, printed together


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from the network's probabilities."""

    temperature: float = 0.8
    """divides the logits: below 1 likely tokens become likelier; 0: always the likeliest"""
    top_k: int = 0
    """draw from so many likeliest tokens; 0: from all (Fan et al. 2018, arXiv:1805.04833)"""
    top_p: float = 1.0
    """draw from the fewest likeliest tokens with this probability in all (Holtzman et al. 2020, arXiv:1904.09751)"""

    def __post_init__(self):
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"--temperature is at least 0, not {self.temperature}")
        if self.top_k < 0:
            raise UserError(f"--top-k is a number of tokens, or 0, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise UserError(f"--top-p lies above 0 and is at most 1, not {self.top_p}")


class Reader(NamedTuple):
    """A language model that reads on: what it has read is a memory, any tree of arrays."""

    begin: Callable[..., tuple[Any, jax.Array]]  # (params, tokens [P]) -> (memory, logits [V] of the next token)
    step: Callable[..., tuple[Any, jax.Array]]  # (params, memory, token []) -> (memory, logits [V])


def generate(folder: Path, prompt: str, length: int, sampling: Sampling, seed: int, trust: bool) -> Iterator[str]:
    """The prompt and `length` tokens that follow it, in pieces. Of several seeds the first one's weights are used.

    Raises UserError for a run that learned no language, and for an empty prompt.
    """
    experiment, info, _, weights = open_run(seed_folders(folder)[0], trust)
    if not info.tokens:
        mend = "--out samples.png draws images" if info.kind == "reconstruction" else "`purezoo predict` is for it"
        raise UserError(f"{folder} learned no language: {mend}")
    tokens = prompt_tokens(prompt, info)
    yield prompt.encode(errors="surrogateescape").decode(errors="replace")
    reader = reader_of(experiment.model, weights["state"], info.shape[0])
    yield from as_text(sampled(reader, weights["params"], tokens, length, sampling, info, seed), info)


def sampled(
    reader: Reader, params, prompt: np.ndarray, length: int, sampling: Sampling, info: Info, seed: int
) -> Iterator[np.ndarray]:
    """`length` tokens that follow the prompt, CHUNK at a time: a pure function of the seed."""

    def chunk(params, memory, logits, i):
        def one(carry, key):
            memory, logits = carry
            token = draw(key, logits.at[len(logits) - 1].add(unknown), sampling)
            return reader.step(params, memory, token), token

        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), i), CHUNK)
        return jax.lax.scan(one, (memory, logits), keys)

    unknown = -jnp.inf if info.classes[-1] == UNKNOWN else 0.0  # what stands for no character is never drawn
    memory, logits = jax.jit(reader.begin)(params, prompt)
    step = jax.jit(chunk)
    for i in range(-(-length // CHUNK)):
        (memory, logits), tokens = step(params, memory, logits, i)
        yield np.asarray(tokens)[: length - i * CHUNK]


def draw(key, logits: jax.Array, sampling: Sampling) -> jax.Array:
    """A token [] from logits [V]. The likeliest token is always among those that may be drawn."""
    if sampling.temperature == 0:
        return logits.argmax()
    logits = logits / sampling.temperature
    if not sampling.top_k and sampling.top_p == 1:
        return jax.random.categorical(key, logits)  # without the sort
    ranked = jnp.sort(logits, descending=True)
    least = ranked[min(sampling.top_k or len(ranked), len(ranked)) - 1]
    if sampling.top_p < 1:
        chances = jax.nn.softmax(jnp.where(ranked >= least, ranked, -jnp.inf))
        before = jnp.cumsum(chances) - chances  # the probability of all that are likelier
        least = jnp.maximum(least, jnp.where(before < sampling.top_p, ranked, jnp.inf).min())
    return jax.random.categorical(key, jnp.where(logits >= least, logits, -jnp.inf))


def reader_of(network: Any, state: dict, window: int) -> Reader:
    """How a network reads on: by the state that it carries where it can, else by the last `window` tokens anew."""
    if any(field.name == "carry" for field in dataclasses.fields(network)):
        return carrying(as_model(dataclasses.replace(network, carry=True).build()))
    return looking_back(as_model(network.build()), state, window)


def carrying(model: Model) -> Reader:
    def begin(params, tokens):
        tokens = tokens[None]
        _, state = model.init(jax.random.key(0), tokens)
        logits, state = model.apply(params, state, tokens)
        return state, logits[0, -1].astype(jnp.float32)

    def step(params, state, token):
        logits, state = model.apply(params, state, token[None, None])
        return state, logits[0, -1].astype(jnp.float32)

    return Reader(begin, step)


def looking_back(model: Model, state: dict, window: int) -> Reader:
    """Fills a window of tokens, and then moves it on. No output of the network may depend on later tokens."""

    def logits_of(params, tokens, n):
        return model.apply(params, state, tokens[None])[0][0, n - 1].astype(jnp.float32)

    def begin(params, tokens):
        n = min(len(tokens), window)
        memory = jnp.zeros(window, jnp.int32).at[:n].set(tokens[-n:])
        return (memory, jnp.int32(n)), logits_of(params, memory, n)

    def step(params, memory, token):
        tokens, n = memory
        tokens = jnp.where(n == window, jnp.roll(tokens, -1), tokens)
        n = jnp.minimum(n + 1, window)
        tokens = tokens.at[n - 1].set(token.astype(jnp.int32))
        return (tokens, n), logits_of(params, tokens, n)

    return Reader(begin, step)


def prompt_tokens(prompt: str, info: Info) -> np.ndarray:
    """The tokens of a prompt, int32 [P]. Characters that the training text did not have are said on standard error."""
    if not prompt:
        raise UserError("--prompt needs at least one character")
    if info.tokens == "bytes":
        return np.frombuffer(prompt.encode(errors="surrogateescape"), np.uint8).astype(np.int32)
    strange = sorted(set(prompt) - set(info.classes))
    if strange:
        said = ", ".join(map(repr, strange[:5]))
        print(f"purezoo: the training text did not have {said}: read as unknown", file=sys.stderr)
    return encode(code_points(prompt), info.classes, "characters")


def as_text(chunks: Iterator[np.ndarray], info: Info) -> Iterator[str]:
    """Tokens as text; bytes that are no UTF-8 become U+FFFD."""
    if info.tokens == "characters":
        yield from ("".join(info.classes[i] for i in tokens) for tokens in chunks)
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    yield from (decoder.decode(tokens.astype(np.uint8).tobytes()) for tokens in chunks)
    yield decoder.decode(b"", final=True)
