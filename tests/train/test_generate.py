"""Writing on: the state carried from token to token gives what the whole text gives, and draws keep to their limits."""

import json
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purezoo.models import RNNLanguageModel
from purezoo.train.data.text import UNKNOWN
from purezoo.train.generate import Sampling, draw, reader_of

from .conftest import train

NETWORK = RNNLanguageModel(vocabulary=7, embedding=4, hidden=6, depth=2)
WINDOW = 5


@dataclass(frozen=True)
class WithoutState:
    """A language model that cannot carry a state, as a Transformer."""

    def build(self):
        return NETWORK.build()


@pytest.mark.parametrize("network", [NETWORK, WithoutState()])
def test_each_step_is_that_of_the_whole_text(network):
    tokens = jnp.array([3, 1, 4, 1, 5, 2, 6, 5, 3])
    model = NETWORK.build()
    params, state = model.init(jax.random.key(0), tokens[None])
    reader = reader_of(network, state, WINDOW)
    memory, logits = reader.begin(params, np.asarray(tokens[:2]))
    step = jax.jit(reader.step)
    for n in range(2, len(tokens)):
        seen = tokens[:n] if network is NETWORK else tokens[max(0, n - WINDOW) : n]
        np.testing.assert_allclose(logits, model.apply(params, state, seen[None])[0][0, -1], rtol=1e-5, atol=1e-6)
        memory, logits = step(params, memory, tokens[n])


def test_a_prompt_longer_than_the_window_counts_by_its_end():
    params, state = NETWORK.build().init(jax.random.key(0), jnp.zeros((1, 3), int))
    reader, tokens = reader_of(WithoutState(), state, WINDOW), np.array([6, 6, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(reader.begin(params, tokens)[1], reader.begin(params, tokens[-WINDOW:])[1])


LOGITS = jnp.log(jnp.array([0.05, 0.5, 0.15, 0.3]))


@pytest.mark.parametrize(
    ("sampling", "possible"),
    [
        (Sampling(1.0), {0, 1, 2, 3}),
        (Sampling(1.0, top_k=2), {1, 3}),
        (Sampling(1.0, top_k=9), {0, 1, 2, 3}),
        (Sampling(1.0, top_p=0.4), {1}),
        (Sampling(1.0, top_p=0.6), {1, 3}),
        (Sampling(1.0, top_p=0.9), {1, 2, 3}),
        (Sampling(1.0, top_k=1, top_p=0.9), {1}),
        (Sampling(0.0), {1}),
    ],
)
def test_only_likely_tokens_are_drawn(sampling, possible):
    drawn = jax.vmap(lambda key: draw(key, LOGITS, sampling))(jax.random.split(jax.random.key(0), 1000))
    assert set(drawn.tolist()) == possible


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_sharpens_or_flattens(temperature):
    drawn = jax.vmap(lambda key: draw(key, LOGITS, Sampling(temperature)))(jax.random.split(jax.random.key(0), 20_000))
    np.testing.assert_allclose(np.bincount(drawn) / 20_000, jax.nn.softmax(LOGITS / temperature), atol=0.015)


@pytest.fixture(scope="module")
def language_run(tmp_path_factory, text_file):
    """An LSTM that has learned one sentence by heart."""
    small = ("--model.vocabulary", "21", "--model.hidden", "32", "--model.embedding", "16", "--data.window", "32")
    long = ("--train.epochs", "40", "--train.batch-size", "8", "--optimizer.learning-rate", "0.01")
    return train(tmp_path_factory.mktemp("runs") / "text", "lstm_text", "--data.source", str(text_file), *small, *long)


def test_a_sentence_is_learned_by_heart(purezoo, language_run):
    code, said, errors = purezoo("generate", language_run, "--prompt", "to be or", "--length", 70, "--temperature", 0)
    assert (code, errors) == (0, "")
    assert said == ("to be or not to be, that is the question. " * 2)[:78] + "\n"


def test_the_seed_decides(purezoo, language_run):
    flags = ("--length", 40, "--temperature", 3.0)
    first, again = (purezoo("generate", language_run, *flags, "--seed", 1)[1] for _ in range(2))
    assert first == again
    assert len(first) == 1 + 40 + 1
    assert first != purezoo("generate", language_run, *flags, "--seed", 2)[1]
    assert UNKNOWN not in first


def test_an_unknown_character_is_said(purezoo, language_run):
    code, said, errors = purezoo("generate", language_run, "--prompt", "to bé", "--length", 5)
    assert (code, "'é'" in errors, said[:5]) == (0, True, "to bé")


def test_eval_does_not_depend_on_the_batch(purezoo, language_run):
    one, three = (json.loads(purezoo("eval", language_run, "--batch-size", n, "--json")[1])["metrics"] for n in (1, 3))
    assert one == pytest.approx(three, rel=1e-6)
    assert "perplexity" in purezoo("eval", language_run)[1]


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--length", 0, "--length is at least 1, not 0"),
        ("--count", -3, "--count is a number of images, or 0, not -3"),
        ("--seed", -1, "--seed is at least 0 and lies below 2^31, not -1"),
        ("--seed", 2**31, "--seed is at least 0 and lies below 2^31, not 2147483648"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_written(purezoo, flag, value, said):
    code, out, errors = purezoo("generate", "run", flag, value)
    assert (code, out, errors) == (2, "", f"purezoo: {said}\n")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--prompt", ""), "--prompt needs at least one character"),
        (("--temperature", -1), "--temperature is at least 0"),
        (("--top-p", 0), "--top-p lies above 0"),
        (("--top-k", -2), "--top-k is a number of tokens"),
    ],
)
def test_flags_that_do_not_do(purezoo, language_run, flags, said):
    code, _, errors = purezoo("generate", language_run, *flags)
    assert (code, said in errors) == (2, True)


def test_other_runs_write_no_text(purezoo, digits_run, language_run, text_file):
    assert "learned no language" in purezoo("generate", digits_run)[2]
    assert "purezoo generate RUN" in purezoo("predict", language_run, text_file)[2]


def test_bytes(purezoo, text_file):
    flags = ("--data.tokens", "bytes", "--model.vocabulary", 256, "--model.hidden", 8, "--data.window", 32)
    quick = ("--train.epochs", 1, "--train.batch-size", 8, "--out", "run", "--no-pictures")
    code, said, errors = purezoo("train", "lstm_text", "--data.source", text_file, *flags, *quick)
    assert (code, "bits_per_byte" in said, errors) == (0, True, "")
    code, said, _ = purezoo("generate", "run", "--prompt", "Ω\udcff", "--length", 20)  # \udcff: no UTF-8
    assert (code, said[:1]) == (0, "Ω")


def test_a_vocabulary_of_another_size_is_refused(purezoo, text_file):
    code, _, errors = purezoo("train", "lstm_text", "--data.source", text_file, "--data.window", 32)
    assert (code, "set --model.vocabulary 21" in errors) == (2, True)
