"""Principal component analysis, the linear rival of an autoencoder with as many numbers in its code."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import UserError
from .data import Dataset
from .data.examples import take
from .reconstruction import own_unit
from .steps import input_spec, preparation
from .tasks import keys_of
from .variational import LEVELS, Variational


def principal(dataset: Dataset, components: int) -> Callable[[np.ndarray], np.ndarray]:
    """raw x [N, ...] -> the mean squared error [N] of what the training split's principal components leave of x, in the
    pixels' own units, in which white is 1 (of tables in standard deviations).

    Raises UserError for more components than there are.
    """
    from sklearn.decomposition import PCA

    prepare, unit = preparation(dataset.info)[0], np.asarray(own_unit(dataset.info))

    def flat(x: np.ndarray) -> np.ndarray:
        return np.asarray(prepare(x) * unit).reshape(len(x), -1)

    fitted = flat(take(dataset.x, dataset.splits["train"]))
    if components > min(fitted.shape):
        raise UserError(f"{components} components are more than {min(fitted.shape)}, all that there are")
    pca = PCA(components, random_state=0).fit(fitted)
    return lambda x: np.square(pca.inverse_transform(pca.transform(flat(x))) - flat(x)).mean(1)


def principal_bits(dataset: Dataset, components: int, split: str) -> float:
    """Bits per dimension of a split under probabilistic PCA fitted on the training split: the linear rival of a
    variational autoencoder with a Gaussian likelihood. Tipping and Bishop 1999, doi:10.1111/1467-9868.00196.

    Images of bytes get uniform noise of one level, as there; of other data it is a density in units of white (of tables
    in standard deviations) that has the bits. Raises UserError for more components than there are.
    """
    from sklearn.decomposition import PCA

    prepare, parts = preparation(dataset.info)[0], Variational(likelihood="gaussian").parts(dataset.info)

    def flat(name: str) -> np.ndarray:
        rows = dataset.splits[name]
        observed = parts.observe(keys_of(jnp.asarray(rows), 1)[0], prepare(take(dataset.x, rows)))
        return np.asarray(observed).reshape(len(rows), -1)

    fitted = flat("train")
    if components >= min(fitted.shape):
        raise UserError(f"{components} components leave no noise: {min(fitted.shape)} are all that there are")
    nats = PCA(components, random_state=0).fit(fitted).score(flat(split)) / parts.dimensions
    return (math.log(LEVELS if parts.bytes else 1) - nats) / math.log(2)


def code_width(model: Any, info: Any, weights: dict) -> int:
    """Numbers in the code of a model with `encode`; of a variational autoencoder in the mean of its posterior."""
    code = jax.eval_shape(model.encode, weights["params"], weights["state"], input_spec(info, 1))
    return jax.tree.leaves(code)[0].shape[1]
