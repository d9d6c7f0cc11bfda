"""What the seeds of a run predict together."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import Airbench
from purezoo.train.ensemble import KINDS, Ensemble
from purezoo.train.evaluation import predict_rows
from purezoo.train.folder import load_data
from purezoo.train.serve import open_run


@pytest.mark.parametrize("kind", KINDS)
def test_an_ensemble_is_the_mean_of_its_members_each_with_a_state_of_its_own(kind):
    network, x = Airbench(classes=3, widths=(4, 4, 4), scale=1.0), jax.random.normal(jax.random.key(1), (2, 12, 12, 3))
    init, apply = Ensemble(network, 3, kind).build()
    params, state = init(jax.random.key(0), x)
    assert jax.tree.leaves(state)
    state = jax.tree.map(lambda a: a + jnp.arange(3.0).reshape(3, *[1] * (a.ndim - 1)), state)
    outputs, after = apply(params, state, x)
    each = [network.build().apply(*jax.tree.map(lambda a, i=i: a[i], (params, state)), x)[0] for i in range(3)]
    assert not np.allclose(each[0], each[1], atol=1e-2)
    means = {"regression": np.mean(each, 0)}
    np.testing.assert_allclose(outputs, means.get(kind, np.log(np.mean(jax.nn.softmax(jnp.stack(each)), 0))), atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_eval_tells_how_good_the_seeds_are_together(purezoo, seeds_run):
    found = json.loads(purezoo("eval", seeds_run, "--json")[1])["together"]
    opened = [open_run(seeds_run / f"seed-{seed}", trust=False) for seed in (0, 1)]
    dataset = load_data(opened[0][0], seeds_run)
    rows = dataset.splits["test"]
    outputs = [predict_rows(functions, weights, dataset.x[rows], 8) for _, _, functions, weights in opened]
    chance = np.mean([jax.nn.softmax(logits) for logits in outputs], 0)
    assert found["accuracy"] == pytest.approx((chance.argmax(-1) == dataset.y[rows]).mean())
    assert found["loss"] == pytest.approx(-np.log(chance[np.arange(len(rows)), dataset.y[rows]]).mean(), rel=1e-5)
    assert f"together {found['loss']:.6f}" in purezoo("eval", seeds_run)[1]


def test_what_has_no_average_is_not_averaged(purezoo, denoising_run):
    assert "together" not in json.loads(purezoo("eval", denoising_run, "--json")[1])
