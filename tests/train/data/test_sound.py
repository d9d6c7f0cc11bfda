"""Recordings: any rate and format that libsndfile reads gives the same features; broken files are named."""

import numpy as np
import pytest
import soundfile

from purezoo.errors import UserError
from purezoo.train.data import Data, load, peek, read_inputs
from purezoo.train.data.sound import CEPSTRA, MELS, read_recording


def tone(hertz: float, seconds: float = 0.3, rate: int = 8000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def folder_of(root, rate=8000):
    """Low and high tones, 12 of each."""
    for name, hertz in (("low", 200), ("high", 1600)):
        (root / name).mkdir(parents=True)
        for i in range(12):
            soundfile.write(root / name / f"{i}.wav", tone(hertz + 10 * i, 0.2 + 0.01 * i, rate), rate)
    return root


def test_a_tone_has_its_energy_in_its_band(tmp_path):
    peaks = []
    for hertz in (300, 1000, 3000):
        soundfile.write(tmp_path / "a.wav", tone(hertz), 8000)
        x, rate = read_recording(tmp_path / "a.wav", "log_mel", 8000)
        assert (x.shape, x.dtype, rate) == ((30, MELS), np.float32, 8000)
        peaks.append(int(x.mean(0).argmax()))
    assert peaks == sorted(set(peaks))


def test_another_rate_or_two_channels_give_nearly_the_same(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(500), 8000)
    soundfile.write(tmp_path / "b.flac", np.stack([tone(500, rate=16000)] * 2, 1), 16000)
    a, _ = read_recording(tmp_path / "a.wav", "log_mel", 8000)
    b, was = read_recording(tmp_path / "b.flac", "log_mel", 8000)
    assert was == 16000
    loud = a > a.max() - 6
    np.testing.assert_allclose(a[2:-2][loud[2:-2]], b[2:-2][loud[2:-2]], atol=0.1)
    assert read_recording(tmp_path / "a.wav", "mfcc", 8000)[0].shape == (30, CEPSTRA)


@pytest.mark.parametrize(("samples", "rate"), [(40, 8000), (39, 8000), (1, 8000), (50, 11111), (1, 48000)])
@pytest.mark.parametrize("features", ["log_mel", "mfcc"])
def test_a_recording_shorter_than_a_frame_has_one(tmp_path, samples, rate, features):
    soundfile.write(tmp_path / "a.wav", tone(500, rate=rate)[:samples], rate)
    for target in (rate, 8000, 11025):
        x, _ = read_recording(tmp_path / "a.wav", features, target)
        assert len(x) == 1
        assert np.isfinite(x).all()


def test_too_few_samples_a_second_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(50, rate=1000), 1000)
    with pytest.raises(UserError, match="1000 samples a second are too few for the bands of log_mel"):
        read_recording(tmp_path / "a.wav", "log_mel", 1000)
    assert Data(source="folder:a", rate=2000).rate == 2000
    assert read_recording(tmp_path / "a.wav", "log_mel", 2000)[0].shape[1] == MELS


def test_a_folder_of_recordings(tmp_path, caplog):
    root = folder_of(tmp_path / "tones")
    soundfile.write(root / "high" / "0.wav", tone(2000, rate=16000), 16000)  # the first; the commonest rate counts
    soundfile.write(root / "low" / "other.wav", tone(210, rate=16000), 16000)
    dataset = load(Data(source=str(root)), "classification")
    assert dataset.info.classes == ("high", "low")
    assert (dataset.info.sound, dataset.info.rate, dataset.info.shape) == ("log_mel", 8000, (31, MELS))
    assert sum(dataset.info.counts.values()) == 25
    assert "2 of 25 recordings are of another rate" in caplog.text
    assert peek(Data(source=str(root))) == ((31, MELS), 2)
    inputs = read_inputs(root / "low" / "other.wav", dataset.info)
    assert inputs.notes == ["other.wav: resampled from 16000 to 8000 Hz"]
    np.testing.assert_array_equal(inputs.x.x[0], dataset.x.x[-1][:30])


def test_two_folders_of_one_name_are_not_mistaken(tmp_path):
    """Though files of equal names and lengths lie in them."""
    for place, hertz in (("clean", 200), ("noisy", 2500)):
        for name in ("a", "b"):
            (tmp_path / place / "tones" / name).mkdir(parents=True)
            for i in range(4):
                soundfile.write(tmp_path / place / "tones" / name / f"{i}.wav", tone(hertz), 8000)
    one, other = (load(Data(str(tmp_path / place / "tones")), "classification").x for place in ("clean", "noisy"))
    assert one.mean((0, 1)).argmax() < other.mean((0, 1)).argmax()


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-500])


def text(path):
    path.write_text("no sound")


def empty(path):
    soundfile.write(path, np.zeros(0), 8000)


@pytest.mark.parametrize(
    ("damage", "said"), [(cut_off, "is cut off"), (text, "cannot be read as a recording"), (empty, "is empty")]
)
def test_a_broken_recording_is_named(tmp_path, damage, said):
    root = folder_of(tmp_path / "tones")
    damage(root / "low" / "3.wav")
    with pytest.raises(UserError, match=rf"3\.wav .*{said}" if damage is not empty else f"3.wav {said}"):
        load(Data(source=str(root)), "classification")


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"stream": "yes"}, "classification", "--data.stream yes is for pictures with classes, and"),
        ({"workers": 2}, "classification", "--data.workers 2 is for pictures with classes, and"),
        ({}, "regression", "use a classification task"),
    ],
)
def test_what_recordings_do_not_take(tmp_path, settings, kind, said):
    with pytest.raises(UserError, match=said):
        load(Data(source=str(folder_of(tmp_path / "tones")), **settings), kind)


def test_one_class_is_refused(tmp_path):
    root = folder_of(tmp_path / "tones")
    for path in (root / "low").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="holds no recording"):
        load(Data(source=str(root)), "classification")
    (root / "low").rmdir()
    with pytest.raises(UserError, match=r"class/name\.wav"):
        load(Data(source=f"folder:{root / 'high'}"), "classification")
    with pytest.raises(UserError, match="holds one class, 'high'"):
        load(Data(source=str(root)), "classification")


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(UserError, match="need the extra `audio`"):
        read_recording(tmp_path / "a.wav", "log_mel", 8000)
