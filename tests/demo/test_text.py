"""The demonstration's text and its tokens."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train_demo.text import (
    UNKNOWN,
    CharacterTokenizer,
    Corpus,
    TextError,
    read_text,
    sample_batch,
    standard_library_text,
)


@given(st.text(alphabet=st.characters(codec="ascii"), min_size=1))
def test_a_text_comes_back_from_its_tokens(text):
    tokenizer = CharacterTokenizer.of(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.text(min_size=1), st.integers(1, 8))
def test_characters_beyond_the_limit_become_the_unknown_one(text, limit):
    tokenizer = CharacterTokenizer.of(text, limit=limit)
    assert len(tokenizer.vocabulary) <= limit
    back = tokenizer.decode(tokenizer.encode(text))
    assert len(back) == len(text)
    assert all(was == now or now == UNKNOWN for was, now in zip(text, back, strict=True))


def test_the_most_frequent_characters_are_kept():
    assert CharacterTokenizer.of("aaabbc", limit=3).vocabulary == ("a", "b", "c")
    assert CharacterTokenizer.of("aaabbcd", limit=3).vocabulary == ("a", "b", UNKNOWN)


def test_a_character_without_a_token_is_named():
    with pytest.raises(ValueError, match=r"'z' is not in the vocabulary of 2 characters"):
        CharacterTokenizer.of("ab").encode("z")


def test_the_standard_library_gives_the_same_bounded_ascii_text_each_time():
    text = standard_library_text(100_000)
    assert text == standard_library_text(100_000)
    assert len(text) == 100_000
    assert text.isascii()
    assert "def " in text


def test_the_end_of_the_text_is_held_out():
    text = "".join(chr(97 + i % 26) for i in range(1000))
    corpus = Corpus.of(text, block_size=8)
    assert len(corpus.validation_N) == 100
    whole = torch.cat([corpus.training_N, corpus.validation_N])
    assert corpus.tokenizer.decode(whole.tolist()) == text


def test_a_text_that_is_too_short_is_refused_with_the_length_needed():
    with pytest.raises(TextError, match="has 100 characters; at least 650 are needed"):
        Corpus.of("x" * 100, block_size=64)


def test_a_text_of_the_length_asked_for_is_enough():
    assert len(Corpus.of("xy" * 325, block_size=64).validation_N) == 65


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "image.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TextError, match=r"image\.bin cannot be read as a UTF-8 text"):
        read_text(tmp_path / "image.bin")
    with pytest.raises(TextError, match="absent"):
        read_text(tmp_path / "absent")


def test_targets_are_the_inputs_one_token_later():
    tokens_N = torch.arange(100)
    inputs_BT, targets_BT = sample_batch(tokens_N, 32, 10, torch.Generator().manual_seed(0))
    assert inputs_BT.shape == (32, 10)
    assert torch.equal(targets_BT, inputs_BT + 1)
