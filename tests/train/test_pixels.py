"""--data.shuffle-pixels: one order for all images, wherever they are met; and --views of eval."""

import jax
import jax.numpy as jnp
import numpy as np

from purezoo.train.data import Data, load
from purezoo.train.steps import preparation


def test_all_images_get_one_order_and_lose_no_pixel():
    plain, shuffled = (load(Data("digits", shuffle_pixels=s), "classification") for s in (False, True))
    np.testing.assert_array_equal(plain.x, shuffled.x)  # they are shuffled where they are used, so in predict as well
    images = jnp.asarray(plain.x[:5])
    before, after = (np.asarray(jax.jit(preparation(d.info)[0])(images)).reshape(5, -1) for d in (plain, shuffled))
    order = np.random.default_rng(0).permutation(64)
    np.testing.assert_allclose(after, before[:, order], rtol=1e-6)
    assert not np.array_equal(after, before)


def test_a_table_has_no_pixels(purezoo):
    code, _, errors = purezoo("train", "mlp_wine", "--data.shuffle-pixels", "--out", "run")
    assert code == 2
    assert "--data.shuffle-pixels is for images" in errors


def test_eval_averages_over_views_and_refuses_them_for_tables(purezoo):
    flags = ("--train.epochs", 3, "--no-pictures", "--quiet")
    assert purezoo("train", "lenet_digits", *flags, "--out", "run")[0] == 0
    one, ten = (purezoo("eval", "run", "--json", "--views", views)[1] for views in ("one", "ten"))
    assert one == purezoo("eval", "run", "--json")[1]
    assert one != ten
    assert purezoo("train", "mlp_wine", *flags, "--out", "wine")[0] == 0
    code, _, errors = purezoo("eval", "wine", "--views", "flip")
    assert code == 2
    assert "--augment is for images" in errors
