"""Bytes of chunks, shards and journal records."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numcodecs.zstd import Zstd

from paramviz.store.codec import CorruptBytesError, decode_array, decode_zstd, encode_array
from paramviz.store.journal import decode_entries, encode_entry
from paramviz.store.layout import decode_number, encode_number, layout_of

shapes = st.one_of(
    st.tuples(st.integers(1, 60_000)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)


def test_all_65536_float16_patterns_survive():
    """NaN payloads and both zeros among them: values are bits, never numbers on the way."""
    patterns = np.arange(65_536, dtype=np.uint16).view(np.float16)
    for key in ("values", "embedding_rows"):
        array = patterns if key == "values" else patterns.reshape(256, 256)
        layout = layout_of(key, array.shape, array.dtype)
        assert decode_array(encode_array(array, layout), layout).tobytes() == array.tobytes()


@given(shape=shapes, seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["f2", "f4", "u4", "i8", "i4"]))
def test_decoding_gives_back_the_bits_that_were_encoded(shape, seed, dtype):
    rng = np.random.default_rng(seed)
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    array = np.frombuffer(rng.bytes(n_bytes), dtype).reshape(shape)
    key = "values" if len(shape) == 1 and dtype in ("f2", "f4") else "statistics"
    layout = layout_of(key, shape, dtype)
    assert decode_array(encode_array(array, layout), layout).tobytes() == array.tobytes()


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40_000), data=st.data())
def test_a_flipped_bit_is_never_decoded_to_other_numbers(seed, n, data):
    array = np.random.default_rng(seed).standard_normal(n).astype(np.float16)
    layout = layout_of("values", array.shape, array.dtype)
    encoded = bytearray(encode_array(array, layout))
    at = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[at // 8] ^= 1 << at % 8
    try:
        decoded = decode_array(bytes(encoded), layout)
    except CorruptBytesError:
        return
    # A bit of a frame header that means nothing may flip; a number may not.
    assert decoded.tobytes() == array.tobytes()


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40_000), data=st.data())
def test_a_truncated_shard_is_refused(seed, n, data):
    array = np.random.default_rng(seed).standard_normal(n).astype(np.float16)
    layout = layout_of("values", array.shape, array.dtype)
    encoded = encode_array(array, layout)
    with pytest.raises(CorruptBytesError):
        decode_array(encoded[: data.draw(st.integers(0, len(encoded) - 1))], layout)


def test_a_frame_that_claims_gigabytes_is_refused_before_anything_is_allocated():
    bomb = bytearray(Zstd(level=1, checksum=True).encode(bytes(1 << 20)))
    assert bomb[4] >> 6 == 2, "the frame states its size in four bytes"
    bomb[6:10] = (0xFFFFFFF0).to_bytes(4, "little")
    with pytest.raises(CorruptBytesError, match="4294967280 bytes, expected 1048576"):
        decode_zstd(bytes(bomb), 1 << 20)


def test_a_frame_without_a_checksum_is_refused():
    with pytest.raises(CorruptBytesError, match="no checksum"):
        decode_zstd(bytes(Zstd(level=1, checksum=False).encode(bytes(1000))), 1000)


entries = st.lists(
    st.dictionaries(
        st.text(max_size=8),
        st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=20)),
        max_size=4,
    ),
    max_size=8,
)


@given(entries=entries, cut=st.integers(0, 400))
def test_a_cut_journal_gives_a_prefix_of_its_entries_and_no_damage(entries, cut):
    encoded = [encode_entry(entry) for entry in entries]
    data = b"".join(encoded)
    kept = max(0, len(data) - cut)
    read, consumed, damaged = decode_entries(data[:kept])
    assert not damaged
    assert repr(read) == repr(entries[: len(read)])
    assert consumed == sum(map(len, encoded[: len(read)]))
    assert len(read) == len(entries) or consumed + len(encoded[len(read)]) > kept, "a whole entry was left"


@given(entries=entries.filter(bool), data=st.data())
def test_a_flipped_bit_in_a_journal_never_changes_an_entry(entries, data):
    encoded = bytearray(b"".join(encode_entry(entry) for entry in entries))
    at = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[at // 8] ^= 1 << at % 8
    read, _, _ = decode_entries(bytes(encoded))
    assert repr(read) == repr(entries[: len(read)])
    assert len(read) < len(entries)


@given(st.floats())
def test_numbers_that_json_cannot_hold_travel_as_text(value):
    assert repr(decode_number(encode_number(value))) == repr(float(value) if value == value else float("nan"))
