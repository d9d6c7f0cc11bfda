"""Any Flax module as a `Model`, so that the one training loop trains it.

def build(self) -> Model:
    return from_linen(MyLinenModule(width=self.width))
"""

import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp

from .core import Model, need_key

TRAIN_FLAGS = ("train", "training", "deterministic")


def from_linen(module) -> Model:
    """A Flax Linen module as a Model. https://flax-linen.readthedocs.io

    Its "params" collection becomes the params, all other collections ("batch_stats", ...) the state. Where `__call__`
    has an argument named train, training or deterministic, it is told whether this is training; a module that needs
    random numbers there gets them from `key` under the name "dropout", and a missing key is a ValueError.
    """
    from flax import errors
    from flax.core import meta

    flag = next((f for f in TRAIN_FLAGS if f in inspect.signature(module.__call__).parameters), None)

    def told(train: bool) -> dict:
        return {} if flag is None else {flag: not train if flag == "deterministic" else train}

    def init(key, spec):
        x = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), spec)
        variables = dict(meta.unbox(module.init({"params": key}, x, **told(False))))
        return variables.pop("params", {}), variables

    def apply(params, state, x, *, key=None, train=False):
        rngs = {"dropout": key} if train and key is not None else None
        variables = {"params": params, **state}
        if not train:
            return module.apply(variables, x, **told(False)), state
        try:
            y, changed = module.apply(variables, x, **told(True), rngs=rngs, mutable=list(state))
        except errors.InvalidRngError:
            need_key(key, type(module).__name__)
            raise
        return y, {**state, **changed}

    return Model(init, apply)


def from_nnx(make: Callable) -> Model:
    """A Flax NNX module as a Model; `make(rngs)` returns the module: `from_nnx(lambda rngs: MyModule(64, rngs=rngs))`.

    https://flax.readthedocs.io. Its `nnx.Param` variables become the params, all others but random number states the
    state. `train=True` puts the module in training mode and seeds its random layers from `key`.
    """
    from flax import nnx

    def split(module):
        _, params, rngs, _, rest = nnx.split(module, nnx.Param, nnx.RngState, nnx.Intermediate, ...)
        return _str_keys(nnx.to_pure_dict(params)), _str_keys(nnx.to_pure_dict(rest)), rngs

    abstract = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    graph, params_like, rngs_like, rest_like = nnx.split(abstract, nnx.Param, nnx.RngState, ...)
    random = bool(jax.tree.leaves(rngs_like))

    def init(key, spec):
        params, state, _ = split(make(nnx.Rngs(key)))
        return params, state

    def apply(params, state, x, *, key=None, train=False):
        if train and random:
            need_key(key, "this NNX module")
        rngs = _seeded(rngs_like, jax.random.key(0) if key is None else key)
        merged = (_filled(params_like, params), rngs, _filled(rest_like, state))
        module = nnx.merge(graph, *merged)
        module.train() if train else module.eval()
        y = module(x)
        return y, (split(module)[1] if train else state)

    return Model(init, apply)


def _str_keys(tree):
    """Names are strings: the elements of an `nnx.List` become "0", "1", ..."""
    return {str(k): _str_keys(v) for k, v in tree.items()} if isinstance(tree, dict) else tree


def _filled(like, tree):
    """An `nnx.State` with the arrays of a dict made by `_str_keys`."""

    def pick(path, _):
        node = tree
        for part in path:
            if not isinstance(node, dict):
                break  # the last part of a path is the variable's own ".value"
            node = node[str(part.key)]
        return node

    return jax.tree_util.tree_map_with_path(pick, like)


def _seeded(like, key):
    """The random number states of a module, each with a key of its own and its count at zero."""
    leaves, tree = jax.tree.flatten(like)
    is_key = [jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves]
    fresh = [
        jax.random.fold_in(key, i) if k else jnp.zeros(leaf.shape, leaf.dtype)
        for i, (k, leaf) in enumerate(zip(is_key, leaves, strict=True))
    ]
    return jax.tree.unflatten(tree, fresh)
