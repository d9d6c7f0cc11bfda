"""Recordings as sequences: a folder class/name.wav, each read, resampled, and turned into features of short frames.

soundfile reads them, soxr resamples, kaldi-native-fbank computes the features: the extra `audio`.
"""

import importlib
import logging
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...errors import UserError
from .cache import cached
from .config import Data
from .examples import shape_of
from .folders import FolderPictures, find_files, walk
from .images import SUFFIXES as PICTURES
from .ragged import joined
from .raw import Raw

log = logging.getLogger(__name__)
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
Features = Literal["log_mel", "mfcc"]
MELS, CEPSTRA = 40, 13
LONGEST = 600  # seconds of a recording


def holds_recordings(folder: Path) -> bool:
    """Whether the first file with a suffix of sound or picture in a folder is a recording."""
    suffixes = (Path(path).suffix.lower() for path in walk(folder))
    return next((suffix in SUFFIXES for suffix in suffixes if suffix in (*SUFFIXES, *PICTURES)), False)


def read_recordings(data: Data) -> Raw:
    """The recordings of a folder as features [T, MELS or CEPSTRA] of frames of 25 ms, one every 10 ms."""
    assert data.folder is not None
    files = find_files(data, SUFFIXES, "recording")
    key = ["sound", files.stamp(), data.features, data.rate, version("kaldi-native-fbank"), version("soxr")]
    return cached(data.folder.name, key, lambda: _read(files, data.features, data.rate or _rate_of(files)))


def _read(files: FolderPictures, features: Features, rate: int) -> Raw:
    xs, other = list[np.ndarray](), 0
    for row in range(len(files.names)):
        path, _, _ = files.open(row)
        sequence, was = read_recording(path, features, rate)
        xs.append(sequence)
        other += was != rate
    if other:
        log.warning("%d of %d recordings are of another rate and were resampled to %d Hz.", other, len(xs), rate)
    names = tuple(f"{features}{i}" for i in range(xs[0].shape[1]))
    return Raw(
        joined(xs, f"The folder {files.root}"),
        files.labels,
        dict(files.sizes),
        files.classes,
        features=names,
        rate=rate,
    )


def read_recording(path: Path, features: Features, rate: int) -> tuple[np.ndarray, int]:
    """The features [T, D] float32 of a recording, its channels averaged, and the rate that it had.

    UserError for a file that cannot be read, is cut off, is empty or longer than LONGEST seconds.
    """
    soundfile, soxr = _need("soundfile"), _need("soxr")
    try:
        with soundfile.SoundFile(path) as file:
            if file.frames > LONGEST * file.samplerate:
                raise UserError(f"{path} is longer than {LONGEST} s: cut it into parts.")
            samples, was, frames = file.read(dtype="float32", always_2d=True), file.samplerate, file.frames
    except (soundfile.LibsndfileError, OSError) as error:
        raise UserError(f"{path} cannot be read as a recording: {error}") from error
    if not len(samples):
        raise UserError(f"The recording {path} is empty.")
    if len(samples) < frames or _is_cut_off(path):
        raise UserError(f"The recording {path} is cut off: its header promises more than the file holds.")
    mono = samples.mean(1)
    if not np.isfinite(mono).all():
        raise UserError(f"The recording {path} holds values that are no numbers.")
    return _features(mono if was == rate else soxr.resample(mono, was, rate), features, rate), was


def _is_cut_off(path: Path) -> bool:
    """Whether a WAV file promises more bytes than it has; libsndfile reads what is there without a word."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return False
        file.seek(12)
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                return length != 0xFFFFFFFF and file.tell() + length > size
            file.seek(length + length % 2, 1)
    return False


def _features(samples: np.ndarray, features: Features, rate: int) -> np.ndarray:
    knf: Any = _need("kaldi_native_fbank")
    make: Callable
    if features == "mfcc":
        options, make = knf.MfccOptions(), knf.OnlineMfcc
        options.num_ceps = CEPSTRA
    else:
        options, make = knf.FbankOptions(), knf.OnlineFbank
    options.frame_opts.samp_freq = rate
    options.frame_opts.dither = 0  # the same features every time
    options.frame_opts.snip_edges = False  # a frame also of a recording that is shorter than one
    options.mel_opts.num_bins = MELS
    try:
        computer = make(options)
    except ValueError as error:  # bands that are narrower than the spectrum's lines
        raise UserError(f"{rate} samples a second are too few for the bands of {features}: {error}") from error
    least = -(-rate // 200)  # half the step between frames, from which on there is one
    samples = np.pad(samples, (0, max(0, least - len(samples))))
    computer.accept_waveform(rate, (samples * 32768).tolist())
    computer.input_finished()
    return np.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)]).astype(np.float32)


def _rate_of(files: FolderPictures) -> int:
    """The commonest rate, by the headers of up to about a thousand recordings."""
    soundfile, rates = _need("soundfile"), Counter[int]()
    for row in range(0, len(files.names), max(1, len(files.names) // 1000)):
        path, _, _ = files.open(row)
        try:
            rates[soundfile.info(path).samplerate] += 1
        except (soundfile.LibsndfileError, OSError) as error:
            raise UserError(f"{path} cannot be read as a recording: {error}") from error
    return rates.most_common(1)[0][0]


def _need(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"Recordings need the extra `audio`: pip install 'purezoo[audio]' ({error}).") from error


def peek_recordings(data: Data) -> tuple[tuple[int, ...], int]:
    """The shape of the longest example and the number of classes. The recordings are read, or come from the cache."""
    raw = read_recordings(data)
    return shape_of(raw.x), len(raw.classes)
