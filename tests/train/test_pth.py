"""PyTorch's files: what PyTorch writes is read, and nothing that a file says is ever run."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from purezoo.errors import UserError
from purezoo.train import pth

GENUINE = Path(__file__).parent / "reference" / "state_dict.pth"  # scripts/reference_pth.py
ORDERED, REBUILD = b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n"


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def tensor(
    shape=b"K\x02\x85", strides=b"K\x01\x85", offset=b"K\x00", key="0", kind="FloatStorage", n=b"K\x03"
) -> bytes:
    """The opcodes of a tensor of 2 numbers in a storage of 3."""
    storage = b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu") + n + b"tQ"
    return REBUILD + b"(" + storage + offset + shape + strides + b"\x89" + ORDERED + b")RtR"


def state_dict(value: bytes) -> bytes:
    return b"\x80\x02}" + text("w") + value + b"s."


@pytest.fixture
def archive(tmp_path):
    """`archive(opcodes)`: a file as PyTorch writes it, with that pickle and a storage of three float32 numbers."""

    def write(opcodes: bytes, compression=zipfile.ZIP_STORED, **more: bytes) -> Path:
        entries = {"data.pkl": opcodes, "data/0": np.arange(3, dtype="<f4").tobytes(), **more}
        with zipfile.ZipFile(tmp_path / "made.pth", "w", compression) as file:
            for name, data in entries.items():
                file.writestr(f"archive/{name}", data)
        return tmp_path / "made.pth"

    return write


def test_what_pytorch_writes():
    found = pth.read(GENUINE)
    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(found["0.weight"], np.arange(6).reshape(3, 2, 1, 1))
    np.testing.assert_array_equal(found["1.running_var"], np.ones(3))
    np.testing.assert_array_equal(found["shared"], table)
    np.testing.assert_array_equal(found["transposed"], table.T)
    np.testing.assert_array_equal(found["middle"], table[1:, 1:3])
    np.testing.assert_array_equal(found["parameter"], np.float32([1.5, -2]))
    assert found["empty"].shape == (0, 3)
    assert (found["1.num_batches_tracked"].shape, found["1.num_batches_tracked"].dtype) == ((), np.int64)
    for name in ("float16", "bfloat16", "float64", "int32", "int16", "int8", "uint8"):
        assert found[f"dtype.{name}"].dtype.name == name
        np.testing.assert_array_equal(found[f"dtype.{name}"].astype(float), [1, 2, 3])
    np.testing.assert_array_equal(found["dtype.bool"], [True, False])
    assert not any(array.flags.writeable for name, array in found.items() if name != "empty")


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_wrappers_and_prefix(archive, wrapper):
    for name in ("w", "module.w"):
        inner = b"}" + text(name) + tensor() + b"s"
        for opcodes in (inner, b"}" + text(wrapper) + inner + b"s" + text("epoch") + b"K\x03s"):
            found = pth.read(archive(b"\x80\x02" + opcodes + b"."))
            assert {key: array.tolist() for key, array in found.items()} == {"w": [0, 1]}


class Call:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


EVIL = text("open('ran', 'w').close()")
ATTACKS = {
    "GLOBAL and REDUCE": (b"cbuiltins\nexec\n" + EVIL + b"\x85R", "builtins.exec"),
    "STACK_GLOBAL and REDUCE": (text("builtins") + text("exec") + b"\x93" + EVIL + b"\x85R", "builtins.exec"),
    "a nested name": (text("torch") + text("FloatStorage.name.format") + b"\x93", "FloatStorage.name.format"),
    "a dunder of a known name": (text("collections") + text("OrderedDict.__init__") + b"\x93", "OrderedDict.__init__"),
    "os.system": (b"cos\nsystem\n" + text("touch ran") + b"\x85R", "os.system"),
    "getattr": (b"cbuiltins\ngetattr\n" + ORDERED + text("__class__") + b"\x86R", "builtins.getattr"),
    "INST": (b"(" + EVIL + b"ibuiltins\nexec\n", "INST"),
    "OBJ": (b"(cbuiltins\nexec\n" + EVIL + b"o", "builtins.exec"),
    "OBJ of a known name": (b"(" + ORDERED + b"o", "OBJ"),
    "NEWOBJ": (b"cbuiltins\nexec\n" + EVIL + b"\x85\x81", "builtins.exec"),
    "NEWOBJ of a known name": (ORDERED + b")\x81", "NEWOBJ"),
    "NEWOBJ_EX": (ORDERED + b")}\x92", "NEWOBJ_EX"),
    "BUILD on a name": (ORDERED + b"}" + text("call") + b"Ns" + b"b", "it changes OrderedDict"),
    "BUILD of slots on a name": (REBUILD + b"N}" + text("__defaults__") + b")s\x86b", "it changes _rebuild_tensor_v2"),
    "BUILD on a tensor": (tensor() + b"(K\x01K\x01\x85" + text("O") + b"\x89" + text("x") + b"tb", "damaged"),
    "a call of a storage type": (b"ctorch\nFloatStorage\nK\x09\x85R", "it calls FloatStorage"),
    "an OrderedDict of arguments": (ORDERED + b"]\x85R", "damaged"),
    "an extension": (b"\x82\x01", "EXT1"),
    "a textual persistent id": (b"Pthing\n", "PERSID"),
    "no opcode": (b"\xff", "damaged"),
    "a whole module": (b"ctorch.nn.modules.linear\nLinear\n)R", "torch.nn.modules.linear.Linear"),
}


@pytest.mark.parametrize("what", ATTACKS)
@pytest.mark.parametrize("protocol", [b"\x80\x02", b"\x80\x04"])
def test_nothing_is_run(archive, tmp_path, monkeypatch, what, protocol):
    monkeypatch.chdir(tmp_path)
    opcodes, said = ATTACKS[what]
    with pytest.raises(UserError) as refused:
        pth.read(archive(protocol + b"}" + text("w") + opcodes + b"s."))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_in_any_protocol(archive, tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        pth.read(archive(pickle.dumps({"w": Call(eval, "open('ran', 'w').close()")}, protocol)))
    assert not (tmp_path / "ran").exists()


LIES = {
    "a shape beyond the storage": (tensor(shape=b"K\x04\x85"), "does not lie within its storage of 3 numbers"),
    "an offset beyond it": (tensor(offset=b"K\x02"), "does not lie within"),
    "a stride beyond it": (tensor(strides=b"K\x03\x85"), "does not lie within"),
    "a huge expanded shape": (tensor(shape=b"\x8a\x06\0\0\0\0\0\x01\x85", strides=b"K\x00\x85"), "does not lie within"),
    "a huge number": (tensor(shape=b"\x8a\xff" + b"\x7f" * 255 + b"\x85"), "does not lie within"),
    "an empty huge shape": (tensor(b"K\x00\x8a\x08" + b"\x7f" * 8 + b"\x86", b"K\x01K\x01\x86"), "damaged"),
    "a negative offset": (tensor(offset=b"J\xff\xff\xff\xff"), "a tensor of shape"),
    "a negative size": (tensor(shape=b"J\xff\xff\xff\xff\x85"), "a tensor of shape"),
    "too few strides": (tensor(strides=b")"), "damaged"),
    "no shape": (tensor(shape=b"N"), "a tensor of shape"),
    "more axes than arrays have": (tensor(b"(" + b"K\x01" * 40 + b"t", b"(" + b"K\x01" * 40 + b"t"), "a tensor of"),
    "no such storage": (tensor(key="7"), "no storage '7'"),
    "a storage outside": (tensor(key="../data.pkl"), "no storage"),
    "more numbers than bytes": (tensor(n=b"\x8a\x05\0\0\0\0\x01"), "has 12 bytes"),
    "fewer numbers than bytes": (tensor(n=b"K\x02"), "has 12 bytes"),
    "another dtype": (tensor(kind="DoubleStorage"), "has 12 bytes, which are not 3 float64"),
    "a storage of no dtype": (b"(" + text("storage") + text("F") + text("0") + b"NK\x03tQ", "a storage named"),
    "a persistent id that is none": (b"K\x01Q", "a storage named 1"),
    "a number": (b"K\x01", "'w' is no tensor"),
    "a place far in the memo": (b"]r\xff\xff\xff\xff", "'w' is no tensor"),
    "a key too deep to hash": (b"})" + b"\x85" * 1_000_000 + b"K\x01s", "neither a string nor an integer"),
    "a key too wide to hash": (b"})" + b"q\x00h\x00\x86" * 40 + b"K\x01s", "neither a string nor an integer"),
    "such a key among several": (b"}(" + text("a") + b"K\x01))\x85K\x01u", "a dict with the key"),
    "a dict of half an item": (b"}(" + text("a") + b"u", "damaged"),
    "a storage": (tensor()[len(REBUILD) + 1 :].partition(b"Q")[0] + b"Q", "'w' is no tensor"),
}  # fmt: skip


@pytest.mark.parametrize("what", LIES)
def test_what_does_not_add_up(archive, what):
    opcodes, said = LIES[what]
    with pytest.raises(UserError) as refused:
        pth.read(archive(state_dict(opcodes)))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("opcodes", "options", "said"),
    [
        (state_dict(tensor()), {"compression": zipfile.ZIP_DEFLATED}, "claim more bytes"),
        (state_dict(tensor()), {"byteorder": b"big"}, "big-endian"),
        (b"\x80\x02K\x01.", {}, "holds no state dict"),
        (b"\x80\x02}.", {}, "holds no state dict"),
        (b"\x80\x02}K\x01" + tensor() + b"s.", {}, "holds no state dict"),
        (b"\x80\x02", {}, "damaged"),
        (b"", {}, "damaged"),
        (b"\x80\x02t.", {}, "damaged"),
    ],
)
def test_archives_that_are_no_state_dicts(archive, opcodes, options, said):
    with pytest.raises(UserError, match=said):
        pth.read(archive(opcodes, **options))


def test_other_files(tmp_path):
    path = tmp_path / "file.pth"
    legacy = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + b"\x80\x02}."
    for data, said in [
        (legacy, r"before PyTorch 1\.6\. Convert it: python -c"),
        (b"", "damaged"),
        (b"hello", "damaged"),
    ]:
        path.write_bytes(data)
        with pytest.raises(UserError, match=said):
            pth.read(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("other/file", "x")
    with pytest.raises(UserError, match=r"holds no data\.pkl"):
        pth.read(path)


def test_damaged_files(tmp_path):
    """Cut anywhere, or with any byte changed, a file is refused or what it always was."""
    data, path, random = GENUINE.read_bytes(), tmp_path / "file.pth", np.random.default_rng(0)
    names = set(pth.read(GENUINE))
    for size in random.integers(0, len(data), 40):
        path.write_bytes(data[:size])
        with pytest.raises(UserError):
            pth.read(path)
    for place in random.integers(0, len(data), 300):
        changed = bytearray(data)
        changed[place] ^= random.integers(1, 256)
        path.write_bytes(changed)
        try:
            assert set(pth.read(path)) == names
        except UserError as refused:
            assert "\n" not in str(refused)  # noqa: PT017
