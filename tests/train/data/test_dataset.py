import json
import subprocess
import sys

import numpy as np
import pytest

from purezoo.errors import UserError
from purezoo.train.data import Data, Info, load, load_splits, peek, save_splits
from purezoo.train.data.moments import moments

KIND = {"digits": "classification", "iris": "classification", "wine": "classification",
        "breast_cancer": "classification", "diabetes": "regression"}  # fmt: skip


@pytest.mark.parametrize("source", KIND)
def test_bundled_sets_are_complete_finite_and_as_peek_says(source):
    dataset = load(Data(source), KIND[source])
    examples = {"digits": 1797, "iris": 150, "wine": 178, "breast_cancer": 569, "diabetes": 442}[source]
    outputs = len(dataset.info.classes) if KIND[source] == "classification" else dataset.y.shape[1]
    assert len(dataset.x) == len(dataset.y) == sum(dataset.info.counts.values()) == examples
    assert peek(Data(source)) == (dataset.info.shape, outputs) == (dataset.x.shape[1:], outputs)
    assert np.isfinite(dataset.x).all()
    assert len(dataset.info.features) == (0 if source == "digits" else dataset.x.shape[1])
    assert dataset.x.dtype == np.float32
    assert dataset.y.dtype == (np.int32 if KIND[source] == "classification" else np.float32)


def test_digits_are_images_from_0_to_16_with_a_test_split_of_360():
    dataset = load(Data("digits"), "classification")
    assert dataset.info.shape == (8, 8, 1)
    assert dataset.info.pixel_max == 16 == dataset.x.max()
    assert dataset.info.classes == tuple("0123456789")
    assert dataset.info.counts == {"train": 1293, "validation": 144, "test": 360}


def test_diabetes_is_in_its_own_units():
    dataset = load(Data("diabetes"), "regression")
    np.testing.assert_allclose(dataset.x[0], [59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87], rtol=1e-6)
    assert dataset.y[0, 0] == 151
    assert dataset.info.targets == ("disease_progression",)


def test_statistics_are_of_the_training_split_alone():
    for source, kind in (("wine", "classification"), ("diabetes", "regression")):
        dataset = load(Data(source), kind)
        train = dataset.x[dataset.splits["train"]].astype(np.float64)
        np.testing.assert_allclose(dataset.info.x_mean, train.mean(0), rtol=1e-12)
        np.testing.assert_allclose(dataset.info.x_std, train.std(0), rtol=1e-10)
        assert not np.allclose(dataset.info.x_mean, dataset.x.mean(0), rtol=1e-6)
        if kind == "regression":
            targets = dataset.y[dataset.splits["train"]].astype(np.float64)
            np.testing.assert_allclose(dataset.info.y_mean, targets.mean(0), rtol=1e-12)
            np.testing.assert_allclose(dataset.info.y_std, targets.std(0), rtol=1e-10)


def test_without_standardisation_the_statistics_are_the_identity():
    info = load(Data("diabetes", standardize=False), "regression").info
    assert (set(info.x_mean), set(info.x_std), info.y_mean, info.y_std) == ({0.0}, {1.0}, (0.0,), (1.0,))


def test_moments_of_images_of_tables_of_constants_and_of_large_offsets():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (700, 20, 20, 3), dtype=np.uint8)  # more than one chunk
    images[..., 2] = 255
    rows = np.arange(3, 700, 2)
    mean, std = moments(images, rows)
    expected = images[rows].astype(np.float64)
    np.testing.assert_allclose(mean, expected.mean((0, 1, 2)), rtol=1e-7)
    np.testing.assert_allclose(std[:2], expected.std((0, 1, 2))[:2], rtol=1e-6)
    assert (mean[2], std[2]) == (255, 1)

    table = np.stack([rng.normal(1e6, 1, 50_000), np.full(50_000, 0.1), rng.normal(size=50_000)], 1).astype(np.float32)
    table[0, 2] = 1e8  # an outlier in the row that the sums are shifted by
    mean, std = moments(table, np.arange(50_000))
    np.testing.assert_allclose(mean, table.astype(np.float64).mean(0), rtol=1e-10)
    np.testing.assert_allclose((std[0], std[2]), table.astype(np.float64).std(0)[[0, 2]], rtol=1e-9)
    assert std[1] == 1


def test_info_survives_json_and_damaged_records_are_refused():
    info = load(Data("diabetes"), "regression").info
    record = json.loads(json.dumps(info.to_json()))
    assert Info.from_json(record) == info
    del record["x_mean"]
    with pytest.raises(UserError, match="x_mean"):
        Info.from_json(record)
    with pytest.raises(UserError, match=r"data\.json"):
        Info.from_json([])


def test_the_fingerprint_changes_with_any_value_and_not_with_the_split(tmp_path):
    x, y = np.arange(80, dtype=np.float32).reshape(20, 4), np.arange(20) % 2
    prints = []
    for change in (0, 1):
        x[7, 3] += change
        np.savez(tmp_path / "d.npz", x=x, y=y)
        prints += [load(Data(str(tmp_path / "d.npz"), split_seed=s), "classification").info.fingerprint for s in (0, 1)]
    assert prints[0] == prints[1] != prints[2] == prints[3]


def test_recorded_splits_are_used_again(tmp_path):
    first = load(Data("iris"), "classification")
    save_splits(tmp_path / "splits.npz", first.splits)
    again = load(Data("iris", split_seed=9, test=0.5), "classification", load_splits(tmp_path / "splits.npz"))
    assert again.info == first.info
    assert all(np.array_equal(again.splits[name], rows) for name, rows in first.splits.items())


def test_recorded_splits_of_other_data_are_refused(tmp_path):
    splits = load(Data("iris"), "classification").splits
    with pytest.raises(UserError, match=r"150 examples.*178"):
        load(Data("wine"), "classification", splits)
    with pytest.raises(UserError, match="do not fit"):
        load(Data("iris"), "classification", splits | {"test": splits["test"] - 1})
    with pytest.raises(UserError, match="damaged"):
        load(Data("iris"), "classification", {"train": np.arange(150)})
    (tmp_path / "splits.npz").write_bytes(b"no archive")
    for name in ("splits.npz", "absent.npz"):
        with pytest.raises(UserError, match=name):
            load_splits(tmp_path / name)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"test": 0.0}, "data.test is 0.0"),
        ({"test": 1.0}, "data.test is 1.0"),
        ({"test": float("nan")}, "data.test is nan"),
        ({"validation": 1.0}, "data.validation is 1.0"),
        ({"validation": -0.1}, "data.validation is -0.1"),
        ({"split_seed": -1}, "data.split-seed is -1"),
        ({"source": "digit"}, "Unknown data source 'digit'. Did you mean 'digits'?"),
        ({"source": "table.xlsx"}, "Unknown data source 'table.xlsx'"),
        ({"source": "idx"}, "needs --data.dir"),
        ({"source": "wine", "target": "alcohol"}, "the source is 'wine'"),
    ],
)
def test_values_out_of_range_are_refused_before_any_work(field, message):
    with pytest.raises(UserError) as error:
        Data(**field)
    assert message in str(error.value)


def test_a_task_of_the_wrong_kind_is_told_what_to_change():
    with pytest.raises(UserError, match=r"digits has class labels.*classification task"):
        load(Data("digits"), "regression")
    with pytest.raises(UserError, match=r"diabetes has real numbers.*regression task"):
        load(Data("diabetes"), "classification")


def test_importing_the_package_imports_no_heavy_library():
    code = "import sys; import purezoo.train.data.dataset; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "numpy" in loaded
    assert not loaded & {"jax", "sklearn", "tensorflow_datasets", "PIL", "scipy", "pandas", "absl"}
