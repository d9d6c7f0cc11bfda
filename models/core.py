"""The contract of every network, and how networks compose.

A `Model` is a pair of pure functions. A layer, a block and a whole network are the same type, so that composition is
closed: `chain(conv(6, 5), relu, flatten, dense(10))` is a Model again, and so is a chain of chains. Shapes flow through
`jax.eval_shape`: nobody writes an input size twice.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, Protocol, cast

import jax
import jax.numpy as jnp

Params = dict[str, Any]
State = dict[str, Any]


class Model(NamedTuple):
    """A network as two pure functions.

    init(key, spec) -> (params, state)
        `spec` is the `jax.ShapeDtypeStruct` of one batch (an array will do); `params` are learned, `state` is
        remembered without being learned (batch-norm statistics). Both are nested dicts of arrays, `{}` where empty.
    apply(params, state, x, *, key=None, train=False) -> (y, state)
        `key` is needed only where `train=True` meets a random layer, such as dropout. An `apply` that calls layers by
        itself, not by `chain`, calls each under `jax.named_scope` of its key in `params`: `show` finds it by that.
    """

    init: Callable[..., tuple[Params, State]]
    apply: Callable[..., tuple[Any, State]]


class Contract(Protocol):
    """A `Model`, or a NamedTuple that offers more functions beside the two."""

    @property
    def init(self) -> Callable[..., tuple[Params, State]]: ...

    @property
    def apply(self) -> Callable[..., tuple[Any, State]]: ...


def lift(function: Callable) -> Model:
    """A function of one array as a layer without parameters: `lift(jnp.tanh)`. `chain` does this by itself."""

    def init(key, spec):
        return {}, {}

    def apply(params, state, x, *, key=None, train=False):
        return function(x), {}

    init.__qualname__ = apply.__qualname__ = getattr(function, "__name__", "function").strip("<>")
    return Model(init, apply)


def named(name: str, layer: Model | Callable) -> Model:
    """The same layer under a name of your choice: `chain(named("stem", conv(64, 7)), ...)` has `params["stem"]`."""
    layer = as_model(layer)
    return Model(_renamed(layer.init, f"named.{name}"), layer.apply)


def as_model(layer: Contract | Callable) -> Model:
    if isinstance(layer, tuple) and hasattr(layer, "init") and hasattr(layer, "apply"):
        return cast(Model, layer)  # or a NamedTuple that offers more functions beside the two
    if callable(layer):
        return lift(layer)
    raise TypeError(f"a layer is a Model or a function of one array, not {layer!r}")


def chain(*layers: Model | Callable) -> Model:
    """Layers one after another. A layer is named after the function that made it: conv1, conv2, dense1, ...

    Plain functions are lifted: `chain(dense(128), jax.nn.relu, dense(10))`.
    Raises TypeError for what is not a layer, ValueError for two layers of one name.
    """
    models = [as_model(layer) for layer in layers]
    names = layer_names(models)

    def init(key, spec):
        params: Params = {}
        state: State = {}
        for i, (name, model) in enumerate(zip(names, models, strict=True)):
            try:
                p, s = model.init(jax.random.fold_in(key, i), spec)
                spec = output_spec(model, p, s, spec)
            except (TypeError, ValueError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError  # JAX's own kinds take no message
                shapes = jax.tree.map(lambda leaf: leaf.shape, spec)
                raise kind(f"{name}, given {shapes}: {error}") from error
            params |= {name: p} if p else {}
            state |= {name: s} if s else {}
        return params, state

    def apply(params, state, x, *, key=None, train=False):
        after: State = {}
        for i, (name, model) in enumerate(zip(names, models, strict=True)):
            k = None if key is None else jax.random.fold_in(key, i)
            with jax.named_scope(name):
                x, s = model.apply(params.get(name, {}), state.get(name, {}), x, key=k, train=train)
            after |= {name: s} if s else {}
        return x, after

    return Model(init, apply)


def skip(body: Model | Callable, combine: Callable) -> Model:
    """`combine(x, body(x))`: the input goes around the body. `combine` joins the two, by concatenation for example."""
    body = as_model(body)

    def apply(params, state, x, *, key=None, train=False):
        y, state = body.apply(params, state, x, key=key, train=train)
        return combine(x, y), state

    return Model(_renamed(body.init, "skip.<locals>.init"), apply)


def residual(body: Model | Callable, shortcut: Model | Callable | None = None) -> Model:
    """`shortcut(x) + body(x)`; without a shortcut, `x + body(x)`. He et al. 2015, arXiv:1512.03385, eq. 1 and 2.

    params: {"body": ..., "shortcut": ...}. Raises ValueError where the two shapes differ.
    """
    body, shortcut = as_model(body), as_model(shortcut or _identity)

    def init(key, spec):
        keys = jax.random.split(key)
        body_params, body_state = body.init(keys[0], spec)
        shortcut_params, shortcut_state = shortcut.init(keys[1], spec)
        return _without_empty(body_params, shortcut_params), _without_empty(body_state, shortcut_state)

    def apply(params, state, x, *, key=None, train=False):
        keys = (None, None) if key is None else jax.random.split(key)
        with jax.named_scope("body"):
            y, body_state = body.apply(params.get("body", {}), state.get("body", {}), x, key=keys[0], train=train)
        with jax.named_scope("shortcut"):
            around, shortcut_state = shortcut.apply(
                params.get("shortcut", {}), state.get("shortcut", {}), x, key=keys[1], train=train
            )
        if y.shape != around.shape:
            raise ValueError(f"residual: the body gives {y.shape}, the shortcut {around.shape}: they must be equal")
        return around + y, _without_empty(body_state, shortcut_state)

    return Model(init, apply)


def of_images(network: Model) -> Model:
    """The same network for images [B, H, W, C] alone. Raises ValueError for what has not four axes: layers take signals
    [B, T, C] as well, and an image without its batch would pass for some."""

    def check(x):
        shape = getattr(x, "shape", None)
        if shape is None or len(shape) != 4:
            found = repr(x) if shape is None else f"an array of shape {shape}"
            raise ValueError(f"the network takes images [B, H, W, C], an array or jax.ShapeDtypeStruct, not {found}")

    def init(key, spec):
        check(spec)
        return network.init(key, spec)

    def apply(params, state, x, *, key=None, train=False):
        check(x)
        return network.apply(params, state, x, key=key, train=train)

    return Model(_renamed(init, network.init.__qualname__), apply)


def layer_names(models: list[Model]) -> list[str]:
    """conv1, conv2, ...: the factory's name and its number; a name given with `named` as it is."""
    names: list[str] = []
    count: dict[str, int] = {}
    for model in models:
        made_by = getattr(model.init, "__qualname__", "layer").removesuffix(".<locals>.init")
        if made_by.startswith("named."):
            names.append(made_by.removeprefix("named."))
            continue
        kind = made_by.split(".")[-1].strip("<>")
        count[kind] = count.get(kind, 0) + 1
        names.append(f"{kind}{count[kind]}")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two layers are named {sorted(twice)[0]!r}: give one of them another name")
    return names


def output_spec(model: Contract, params, state, spec):
    """The shape and dtype that `model` makes of `spec`, without computing anything."""
    return jax.eval_shape(lambda p, s, x: model.apply(p, s, x)[0], params, state, spec)


def main_output(y):
    """What a network gives; of a NamedTuple of several things the first."""
    return y[0] if isinstance(y, tuple) else y


def count(params) -> int:
    """The number of scalars in a tree of arrays or shapes."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def param_dtype(spec) -> jnp.dtype:
    """Parameters are float32, or float64 where the input is: lower precision is a cast in the training step."""
    floats = jnp.issubdtype(spec.dtype, jnp.floating)
    dtype = jnp.promote_types(spec.dtype, jnp.float32) if floats else jnp.dtype("float32")
    return jax.dtypes.canonicalize_dtype(dtype)  # NumPy's float64 is float32 to JAX, unless it was told otherwise


def as_float(x):
    """x, or float32 numbers where it has integers: what a layer makes of them need not be whole."""
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)


def need_key(key, layer: str):
    """`key`, or a ValueError that says what to pass."""
    if key is None:
        raise ValueError(f"{layer} is random in training: call apply(..., key=jax.random.key(0), train=True)")
    return key


def _identity(x):
    return x


def _without_empty(body, shortcut):
    return {name: tree for name, tree in (("body", body), ("shortcut", shortcut)) if tree}


def _renamed(function, qualname: str):
    """The same function under a name that `layer_names` reads."""

    @wraps(function)
    def same(*args, **kwargs):
        return function(*args, **kwargs)

    same.__qualname__ = qualname
    return same
