"""Text to learn from, and its characters as tokens."""

from __future__ import annotations

import sysconfig
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands for every character that is not in the vocabulary."""

VOCABULARY_LIMIT = 128
"""Characters kept, the most frequent first; a long tail of rare ones would hardly be learned."""

CORPUS_CHARACTERS = 2_000_000
"""How much of the standard library is taken."""

VALIDATION_SHARE = 0.1


class TextError(Exception):
    """There is no text to learn from; the message says why and how to mend it."""


@dataclass(frozen=True, slots=True)
class CharacterTokenizer:
    """One token per character; `vocabulary[i]` is the character of token i."""

    vocabulary: tuple[str, ...]

    @classmethod
    def of(cls, text: str, limit: int = VOCABULARY_LIMIT) -> CharacterTokenizer:
        """The most frequent characters of a text in code point order, and UNKNOWN if some are left over."""
        counts = Counter(text)
        if len(counts) <= limit:
            return cls(tuple(sorted(counts)))
        by_frequency = sorted(counts, key=lambda character: (-counts[character], character))
        return cls((*sorted(set(by_frequency[: limit - 1]) - {UNKNOWN}), UNKNOWN))

    def encode(self, text: str) -> list[int]:
        """The token of each character. Raises ValueError for one that has none, if there is no UNKNOWN."""
        tokens = {character: token for token, character in enumerate(self.vocabulary)}
        unknown = tokens.get(UNKNOWN)
        encoded = []
        for character in text:
            token = tokens.get(character, unknown)
            if token is None:
                raise ValueError(
                    f"{character!r} is not in the vocabulary of {len(self.vocabulary)} characters."
                )
            encoded.append(token)
        return encoded

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(self.vocabulary[token] for token in tokens)


def standard_library_text(limit: int = CORPUS_CHARACTERS) -> str:
    """Sources of Python's standard library, at most `limit` characters.

    The modules at its top level in the order of their names, ASCII ones only:
    the same interpreter always gives the same text. Raises TextError if this
    Python came without sources.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    parts: list[str] = []
    length = 0
    for path in sorted(folder.glob("*.py")):
        content = path.read_bytes()
        if not content.isascii():
            continue
        parts.append(content.decode("ascii").replace("\r\n", "\n"))
        length += len(parts[-1])
        if length >= limit:
            break
    if not parts:
        raise TextError(f"This Python has no sources in {folder}. Name a text of your own: --text FILE")
    return "".join(parts)[:limit]


def read_text(path: Path) -> str:
    """A text file in UTF-8. Raises TextError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(f"{path} cannot be read as a UTF-8 text: {error}") from error


@dataclass(frozen=True, slots=True)
class Corpus:
    """A tokenised text, its end held out for validation. Both parts: (N,) int64."""

    tokenizer: CharacterTokenizer
    training_N: Tensor
    validation_N: Tensor

    @classmethod
    def of(cls, text: str, block_size: int) -> Corpus:
        """Raises TextError if either part is too short for one block and its targets."""
        tokenizer = CharacterTokenizer.of(text)
        tokens_N = torch.tensor(tokenizer.encode(text), dtype=torch.int64)
        n_training = len(tokens_N) - int(len(tokens_N) * VALIDATION_SHARE)
        corpus = cls(tokenizer, tokens_N[:n_training], tokens_N[n_training:])
        if len(corpus.validation_N) <= block_size:
            needed = round((block_size + 1) / VALIDATION_SHARE)
            raise TextError(f"The text has {len(text):,} characters; at least {needed:,} are needed.")
        return corpus


def sample_batch(
    tokens_N: Tensor, batch_size: int, block_size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(B, T) int64 inputs from random places, and the targets: the same, one token later."""
    starts_B = torch.randint(len(tokens_N) - block_size, (batch_size,), generator=generator)
    window_BT = starts_B[:, None] + torch.arange(block_size)
    return tokens_N[window_BT], tokens_N[window_BT + 1]
