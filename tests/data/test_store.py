"""The store as training and evaluation read it."""

import multiprocessing
import os
import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimri.core.artifacts import sha256
from unimri.core.errors import UnimriError
from unimri.data.shard import ShardContent, SourceFile, write_manifest, writing_shard
from unimri.data.store import TEXT, PreparedData, decode, encode


@pytest.fixture
def volumes():
    """Slices (S, 8, 8) in [0, 1] by volume key; keys that a careless reader would take for numbers."""
    rng = np.random.default_rng(0)
    keys = ["0012345678901234", "12e4567890123456", "1234567890123456", "00000000000000ff"]
    return {key: rng.uniform(size=(n, 8, 8)).astype(np.float32) for key, n in zip(keys, (3, 1, 4, 2), strict=True)}


@pytest.fixture
def store(tmp_path, volumes):
    """The first and the last volume in one shard, the others in another."""
    shards = {}
    for name, numbers in (("shard-000", (0, 3)), ("shard-001", (1, 2))):
        with writing_shard(tmp_path / f"{name}.h5", "knee", 8) as shard:
            for number in numbers:
                key = list(volumes)[number]
                source = SourceFile(bytes=10, sha256="0" * 64)
                scale = 2.5 + number
                shard.add(key, key, None, volumes[key] * np.float32(scale), (9, 7), scale, [source], "0" * 64)
        shards[f"{name}.h5"] = ShardContent.load(tmp_path / f"{name}.json")
    write_manifest(shards, dict(zip(volumes, ("train", "train", "train", "test"), strict=True)), tmp_path)
    return tmp_path


def note_digests(store):
    """Make the manifest speak of the shards as they are now, as that of another version or preparation would."""
    manifest = pd.read_csv(store / "manifest.csv", dtype=TEXT)
    manifest["shard_sha256"] = [sha256(store / name) for name in manifest["shard"]]
    manifest.to_csv(store / "manifest.csv", index=False)
    (store / "manifest.csv.sha256").unlink(missing_ok=True)


def damage(shard):
    """Turn a bit over in each slice; the file's size and times stay, as with a failing disk."""
    times, content = shard.stat(), bytearray(shard.read_bytes())
    with h5py.File(shard) as file:
        slices = file["slices"].id
        places = [slices.get_chunk_info(number).byte_offset for number in range(slices.get_num_chunks())]
    for place in places:
        content[place + 1] ^= 64
    shard.write_bytes(content)
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("memory_limit", [0, 2**30])
def test_slices_come_back_from_memory_and_from_disk(store, volumes, memory_limit):
    data = PreparedData(store, memory_limit=memory_limit)
    assert (data.anatomy, data.image_size) == ("knee", 8)
    train, test = data.split("train"), data.split("test")
    assert (len(train), len(test), len(data.split("validation"))) == (8, 2, 0)
    places = [train.volume_of(index)[:2] for index in range(8)]
    assert places == [(key, n) for key in list(volumes)[:3] for n in range(len(volumes[key]))]
    for index, (key, number) in enumerate(places):
        # uint16 rounds by half a step at most; float32 adds its own last digit.
        np.testing.assert_allclose(train[index], volumes[key][number], rtol=3e-7, atol=0.5 / 65535)
    order = np.array([7, 0, 0, 3, -1])
    batch = train.batch(order)
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch, np.stack([train[int(index)] for index in order]))
    assert train.volume_of(7) == ("1234567890123456", 3, 4.5)
    found = [(volume, patient, list(numbers)) for volume, patient, numbers in train.volumes()]
    assert [(volume, patient, len(numbers)) for volume, patient, numbers in found] == [
        (key, key, len(volumes[key])) for key in list(volumes)[:3]
    ]
    assert [number for _, _, numbers in found for number in numbers] == list(range(8))
    assert list(data.split("validation").volumes()) == []
    assert train.batch([]).shape == (0, 8, 8)
    with pytest.raises(IndexError):
        train[8]
    assert len(list(test)) == 2


@given(st.integers(1, 32767), st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_a_scanners_integers_come_back(largest, parts):
    integers = np.append(np.floor(np.array(parts) * largest), largest).astype(np.float32)
    slices = integers.reshape(1, 1, -1)
    again = np.empty_like(slices)
    decode(encode(slices, largest), again)
    np.testing.assert_array_equal(np.rint(again * np.float32(largest)), slices)


def test_every_stored_value_is_kept():
    stored = np.arange(65536, dtype=np.uint16).reshape(4, 128, 128)
    decoded = np.empty(stored.shape, np.float32)
    decode(stored, decoded)
    assert (decoded.min(), decoded.max()) == (0, 1)
    np.testing.assert_array_equal(encode(decoded, 1.0), stored)


def test_a_shard_that_was_made_again_is_read_anew(store):
    train = PreparedData(store, memory_limit=0).split("train")
    before, shard = train[0], store / "shard-000.h5"
    again = store / "again.h5"
    again.write_bytes(shard.read_bytes())
    again.replace(shard)
    np.testing.assert_array_equal(train[0], before)
    again.write_bytes(shard.read_bytes())
    damage(again)
    again.replace(shard)
    with pytest.raises(UnimriError, match=r"shard-000\.h5: is not the file that was made"):
        train[0]


def test_a_shard_with_other_bytes_than_the_manifest_says_is_refused(store):
    shard = store / "shard-001.h5"
    content = shard.read_bytes()
    # In this process it was read before: that must not hide the damage.
    PreparedData(store)
    damage(shard)
    says = rf"^{shard}: is not the file that was made \(SHA-256\); make it again: `snakemake --force {shard}`"
    with pytest.raises(UnimriError, match=says):
        PreparedData(store)
    # The index of HDF5, in which h5py raises RuntimeError.
    shard.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    with pytest.raises(UnimriError, match=says):
        PreparedData(store)
    note_digests(store)
    with pytest.raises(UnimriError, match=rf"^{shard}: (is damaged|cannot be read); run prepare again"):
        PreparedData(store).split("train").batch(range(8))
    shard.write_bytes(content)
    note_digests(store)
    assert len(PreparedData(store).split("train").batch(range(8))) == 8


def test_an_edited_manifest_is_refused(store):
    path = store / "manifest.csv"
    PreparedData(store)
    path.write_text(path.read_text().replace(",train,", ",test,", 1))
    with pytest.raises(UnimriError, match=rf"^{path}: is not the file that was made .*`snakemake --force {path}`"):
        PreparedData(store)
    content = store / "shard-000.json"
    content.write_text(content.read_text().replace('"start": 0', '"start": 1', 1))
    with pytest.raises(UnimriError, match=rf"^{content}: is not the file that was made"):
        ShardContent.load(content)


def test_a_shard_is_digested_once_a_process(store, monkeypatch):
    PreparedData(store)
    monkeypatch.setattr("unimri.core.artifacts.sha256", lambda path: pytest.fail(f"{path} is read once more"))
    train = PreparedData(store, memory_limit=0).split("train")
    train.batch(range(8))


def test_a_forked_process_reads_what_its_parent_has_open(store):
    train = PreparedData(store, memory_limit=0).split("train")
    expected = train.batch(range(8))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for batch in pool.map(train.batch, [range(8)] * 4):
            np.testing.assert_array_equal(batch, expected)


@pytest.mark.parametrize("memory_limit", [0, 2**30])
def test_a_batch_is_a_copy(store, memory_limit):
    train = PreparedData(store, memory_limit=memory_limit).split("train")
    first = train[0].copy()
    train[0][:] = -1
    train.batch([0, 1])[:] = -1
    np.testing.assert_array_equal(train[0], first)


def test_a_slice_set_can_go_to_a_worker_process(store):
    train = PreparedData(store, memory_limit=0).split("train")
    train.batch([0])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(train))[5], train[5])


def test_a_missing_or_strange_manifest_is_reported(tmp_path, store):
    with pytest.raises(UnimriError, match=r"manifest\.csv: no such file; run prepare"):
        PreparedData(tmp_path / "none")
    (store / "manifest.csv.sha256").unlink()
    for content in ("", "a,b\n1,2\n", (store / "manifest.csv").read_text().splitlines()[0]):
        (store / "manifest.csv").write_text(content)
        with pytest.raises(UnimriError, match="run prepare again"):
            PreparedData(store)


def test_a_missing_or_damaged_shard_is_reported(store):
    shard = store / "shard-001.h5"
    content = shard.read_bytes()
    shard.write_bytes(content[:500])
    with pytest.raises(UnimriError, match=r"shard-001\.h5: is not the file that was made"):
        PreparedData(store)
    note_digests(store)
    with pytest.raises(UnimriError, match=r"shard-001\.h5: is damaged; run prepare again"):
        PreparedData(store)
    shard.unlink()
    with pytest.raises(UnimriError, match=r"shard-001\.h5: no such file; make it again"):
        PreparedData(store)


def test_a_shard_that_disagrees_with_the_manifest_is_reported(store):
    with h5py.File(store / "shard-000.h5", "r+") as file:
        file["slices"].resize(1, axis=0)
    note_digests(store)
    with pytest.raises(UnimriError, match=r"shard-000\.h5: has 1 slices.*run prepare again"):
        PreparedData(store)


def test_a_shard_of_another_version_is_reported(store):
    with h5py.File(store / "shard-000.h5", "r+") as file:
        slices = file["slices"][()].astype(np.float32)
        del file["slices"]
        file.create_dataset("slices", data=slices, chunks=(1, 8, 8))
    note_digests(store)
    with pytest.raises(UnimriError, match="another version"):
        PreparedData(store)


def test_a_shard_of_another_preparation_is_reported(store):
    with h5py.File(store / "shard-000.h5", "r+") as file:
        file.attrs["anatomy"] = "brain"
    note_digests(store)
    with pytest.raises(UnimriError, match="another preparation"):
        PreparedData(store)


def test_a_shard_lost_while_training_is_reported(store):
    train = PreparedData(store).split("train")
    (store / "shard-000.h5").unlink()
    with pytest.raises(UnimriError, match=r"shard-000\.h5.*run prepare again"):
        train[0]
