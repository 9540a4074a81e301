"""Lesson 5: checkpoints by name, and whether a vocabulary fits them."""

from __future__ import annotations

import contextlib
import difflib
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from transformers.utils import logging

from tlcourse.arguments import shown
from tlcourse.data.sources import fetch
from tlcourse.paths import data_dir

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

_COURSE = ("minilm", "bert-zh")
_VOCABULARIES = ("vocab.txt", "tokenizer.json", "vocab.json")
_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_SECONDS = 5  # for the Hub to answer


def checkpoint_folder(name: str | Path, weights: bool = True) -> str:
    """The folder where a checkpoint lies, fetched first if need be.

    Parameters
    ----------
    name : str or path
        ``"minilm"``, a BERT with 6 layers of width 384 for English, from the course's cache;
        ``"bert-zh"``, the course's own small BERT for Chinese; a local folder; or a Hub name
        with its owner, such as ``"google-bert/bert-base-uncased"``, which is fetched once into
        the Hub's own cache. Only JSON, vocabularies and safetensors are fetched.
    weights : bool
        Whether the weights are needed, or the configuration and the vocabulary alone.

    Raises
    ------
    ValueError
        If the name is neither, or a folder holds no checkpoint.
    FileNotFoundError
        If nothing can be fetched and nothing lies in the Hub's cache.
    """
    if not isinstance(name, (str, Path)):
        raise TypeError(f"name must be a text or a path, got {shown(name)}")
    if name == "minilm":
        return str(fetch("minilm"))
    if name == "bert-zh":
        return str(data_dir() / "models" / name)
    if Path(name).is_dir():
        place = str(name)
    elif isinstance(name, str) and _HUB.fullmatch(name):
        place = _from_hub(name, weights)
    else:
        raise ValueError(f"no checkpoint {str(name)!r}: {_advice(str(name))}")
    if not (Path(place) / "config.json").is_file():
        raise ValueError(f"{name} must hold a checkpoint; it holds no config.json")
    return place


def _advice(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), _COURSE, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    if re.match(r"bert-(base|large)-", name):
        hint = f"did you mean 'google-bert/{name}'? "
    return (
        f"{hint}The course has {_COURSE}; a checkpoint of the Hub is written with its owner, such "
        "as 'google-bert/bert-base-uncased'; or give a folder that holds one"
    )


def _from_hub(name: str, weights: bool) -> str:
    """The checkpoint's folder in the Hub's cache."""
    from huggingface_hub import snapshot_download

    try:
        place = snapshot_download(
            name,
            allow_patterns=[
                "*.json",
                "vocab.txt",
                "merges.txt",
                *(["*.safetensors"] if weights else []),
            ],
            ignore_patterns=["*/*"],
            etag_timeout=_SECONDS,
        )
    except Exception as fault:  # the library has many errors for: no network, no such name
        raise FileNotFoundError(
            f"{name} is no local folder and could not be fetched from the Hub "
            f"({type(fault).__name__}); check the name and the network, or give a folder that "
            f"holds config.json, {' or '.join(_VOCABULARIES[:2])}, and model.safetensors"
        ) from fault
    if weights and not any(Path(place).glob("*.safetensors")):
        raise FileNotFoundError(
            f"{name} has no weights as safetensors, or they were not fetched before the network "
            "was lost; try again with a network, or give a folder that holds model.safetensors"
        )
    return place


_QUIET = threading.Lock()  # the library's verbosity is global, and live runs are threads


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the report that a new head's weights were not in the checkpoint."""
    with _QUIET:
        before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(before)
            if bars:
                logging.enable_progress_bar()


def check_tokenizer(tokenizer: Tokenizer, place: str) -> None:
    """Refuse a tokenizer that the library made up, since a folder holds no vocabulary.

    Raises
    ------
    ValueError
        Also if the vocabulary is larger than the model's.
    """
    if not any((Path(place) / name).is_file() for name in _VOCABULARIES):
        raise ValueError(
            f"{place} holds no vocabulary, neither {' nor '.join(_VOCABULARIES[:2])}: every word "
            "would be read as unknown"
        )
    size, special = len(tokenizer), len(tokenizer.all_special_ids)
    if size <= special:
        raise ValueError(
            f"the vocabulary in {place} has {size} pieces, {special} of them special: every word "
            "would be read as unknown"
        )
    known = json.loads((Path(place) / "config.json").read_text(encoding="utf8")).get("vocab_size")
    if known is not None and size > known:
        raise ValueError(
            f"the vocabulary in {place} has {size} pieces and the model knows {known}: they are "
            "not of one checkpoint"
        )
