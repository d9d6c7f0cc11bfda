"""model.safetensors: every array under the name that a person would guess, and nothing loaded that does not fit."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from purezoo.errors import UserError
from purezoo.train import weights

TREE = {
    "params": {"dense1": {"kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3), "bias": np.ones(3, np.float32)}},
    "state": {"batch_norm1": {"mean": np.zeros(3, np.float32)}},
}


@pytest.fixture
def path(tmp_path):
    weights.save(tmp_path / "model.safetensors", TREE)
    return tmp_path / "model.safetensors"


def test_there_and_back(path):
    assert set(load_file(path)) == {"dense1.kernel", "dense1.bias", "batch_norm1.mean"}
    found = weights.load(path, TREE)
    assert found["state"]["batch_norm1"]["mean"].dtype == np.float32
    np.testing.assert_array_equal(found["params"]["dense1"]["kernel"], TREE["params"]["dense1"]["kernel"])
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]


def test_a_transposed_view_is_saved_as_it_reads(tmp_path):
    view = np.arange(6.0, dtype=np.float32).reshape(2, 3).T
    weights.save(tmp_path / "view", {"params": {"w": view}})
    np.testing.assert_array_equal(load_file(tmp_path / "view")["w"], view)


def test_scalars_and_counters_come_back_as_they_were(tmp_path):
    tree = {"params": {"slope": np.float32(0.25)}, "state": {"steps": np.array([7], np.int32)}}
    weights.save(tmp_path / "model.safetensors", tree)
    found = weights.load(tmp_path / "model.safetensors", tree)
    assert (found["params"]["slope"].shape, found["params"]["slope"]) == ((), 0.25)
    assert (found["state"]["steps"].dtype, found["state"]["steps"]) == (np.int32, 7)
    with pytest.raises(UserError, match="'steps' has dtype int32, the network needs float32"):
        weights.load(tmp_path / "model.safetensors", tree | {"state": {"steps": np.ones(1, np.float32)}})


def change(path, name, value=None):
    arrays = load_file(path)
    arrays.pop(name, None)
    save_file(arrays | ({} if value is None else {name: value}), path)


def test_what_does_not_fit_is_refused(path):
    good = path.read_bytes()
    change(path, "dense1.bias", np.ones(4, np.float32))
    with pytest.raises(UserError, match=r"'dense1.bias' has shape \(4,\), the network needs \(3,\)"):
        weights.load(path, TREE)
    path.write_bytes(good)
    change(path, "dense1.bias")
    with pytest.raises(UserError, match=r"has no 'dense1.bias'"):
        weights.load(path, TREE)
    path.write_bytes(good)
    change(path, "dense1.scale", np.ones(3, np.float32))
    with pytest.raises(UserError, match=r"has 'dense1.scale', which the network has not"):
        weights.load(path, TREE)
    for size in (0, 5, 40, len(good) - 1):
        path.write_bytes(good[:size])
        with pytest.raises(UserError, match="is damaged"):
            weights.load(path, TREE)
    path.unlink()
    with pytest.raises(UserError, match="did the run finish"):
        weights.load(path, TREE)


def test_params_and_state_may_not_share_a_name(tmp_path):
    with pytest.raises(UserError, match=r"params and state both have 'a\.w'"):
        weights.save(tmp_path / "w", {"params": {"a": {"w": np.ones(1)}}, "state": {"a": {"w": np.ones(1)}}})


def test_params_are_nested_dicts():
    with pytest.raises(UserError, match=r"nested dicts of arrays, and \['layers'\]\[0\] is in no dict"):
        weights.named({"params": {"layers": [np.ones(1)]}, "state": {}})
