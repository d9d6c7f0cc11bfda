"""What the command settles before jax is imported."""

import os

import jax
import jax.numpy as jnp
import pytest

from purezoo import __main__ as command
from purezoo.models.layers import conv

OURS = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", OURS),
        ("--xla_dump_to=here", f"--xla_dump_to=here {OURS}"),
        ("--xla_cpu_experimental_ynn_fusion_type=-reduce", "--xla_cpu_experimental_ynn_fusion_type=-reduce"),
        ("flags.txt", "flags.txt"),
    ],
)
def test_flags_that_a_user_has_set_stay(monkeypatch, before, after):
    monkeypatch.setattr(command, "version", lambda _: "0.10.7")
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    monkeypatch.setenv("XLA_FLAGS", before)
    command.convolve_on_all_cores()
    assert os.environ["XLA_FLAGS"] == after
    command.convolve_on_all_cores()
    assert os.environ["XLA_FLAGS"] == after


@pytest.mark.parametrize(("jaxlib", "libtpu"), [("0.11.0", None), ("0.10.2", "found")])
def test_who_may_not_know_the_flag_is_not_told(monkeypatch, jaxlib, libtpu):
    monkeypatch.setattr(command, "version", lambda _: jaxlib)
    monkeypatch.setattr(command, "find_spec", lambda _: libtpu)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    command.convolve_on_all_cores()
    assert "XLA_FLAGS" not in os.environ


@pytest.mark.skipif(
    jax.default_backend() != "cpu" or OURS not in os.environ.get("XLA_FLAGS", ""), reason="the flag is for CPUs"
)
def test_convolutions_are_not_ynnpacks():
    model, x = conv(64, 3), jax.ShapeDtypeStruct((64, 32, 32, 64), jnp.float32)  # large enough for YNNPACK to be asked
    params, state = jax.eval_shape(model.init, jax.random.key(0), x)
    program = jax.jit(model.apply).lower(params, state, x).compile().as_text()
    assert "__ynn_fusion" not in program
