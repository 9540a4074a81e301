"""Lesson 5: from a checkpoint's name, texts and labels to a classifier that can be kept."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
)
from transformers import PreTrainedTokenizerBase as Tokenizer

from tlcourse.arguments import check_choice, check_count, shown
from tlcourse.bert.layers import TUNING_METHODS, above, choose_method, frozen_depth
from tlcourse.bert.models import (
    config_of,
    encode,
    load_model,
    load_tokenizer,
    mean_classifier,
    split_pairs,
)
from tlcourse.bert.tuning import MaskedSource, fine_tune
from tlcourse.finetuning.layers import body_of
from tlcourse.inputs import Inputs, places_of
from tlcourse.scores import scores
from tlcourse.training import History, Progress, choose_device, predict

POOLINGS = ("[CLS]", "mean")
_CACHE = 2**30
"""Bytes that frozen states may take; with more, frozen layers run at each step."""


class TextClassifier:
    """A tuned encoder with its tokenizer and its labels' names.

    Attributes
    ----------
    model : torch.nn.Module
        A classifier of transformers, with LoRA around it or not.
    tokenizer : transformers.PreTrainedTokenizerBase
    label_names : tuple of str or of int
        In the order of the logits.
    max_length : int
        Pieces of a text that are read.
    history : History
        What the training went through.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        label_names: Sequence[str] | Sequence[int],
        max_length: int,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.label_names, self.max_length = tuple(label_names), max_length
        self.history = History()

    def probabilities(self, texts: Sequence[Any]) -> np.ndarray:
        """Class probabilities of texts or pairs of texts, float32, shape (n, classes)."""
        return predict(self.model, encode(self.tokenizer, texts, self.max_length), 64)

    def predict(self, texts: Sequence[Any]) -> np.ndarray:
        """The likeliest label of each text, as in ``label_names``; shape (n,)."""
        return np.array(self.label_names)[self.probabilities(texts).argmax(1)]

    def scores(self, texts: Sequence[Any], labels: Sequence[Any] | np.ndarray) -> dict[str, float]:
        """``accuracy`` and ``macro_f1`` on labelled texts, see `tlcourse.scores.scores`."""
        known = {name: number for number, name in enumerate(self.label_names)}
        wanted = _plain(labels)
        if strange := [label for label in wanted if label not in known]:
            raise ValueError(f"labels must be of {self.label_names}, got {shown(strange[0])}")
        found = self.probabilities(texts).argmax(1)
        if len(found) != len(wanted):
            raise ValueError(
                f"labels must have {len(found)} entries, one a text; got {len(wanted)}"
            )
        return scores(np.array([known[label] for label in wanted]), found)

    def save(self, folder: str | Path) -> Path:
        """Write weights (safetensors), tokenizer and labels, whole or not at all.

        ``AutoTokenizer`` and ``AutoModelForSequenceClassification`` of transformers load the
        folder with the same logits. A classifier that reads the mean is loaded by
        `load_classifier`; transformers' ``AutoModelForTokenClassification`` loads it as well, and
        the mean of its logits over all pieces of a text are this one's.

        Parameters
        ----------
        folder : str or path
            A new one, or one that holds a checkpoint, which is replaced.
        """
        target = Path(folder)
        if target.exists() and not (target / "config.json").is_file():
            raise ValueError(f"folder must be new or hold a checkpoint; {target} does neither")
        model: Any = self.model
        if hasattr(model, "merge_and_unload"):  # LoRA's matrices go into those they change
            model = copy.deepcopy(model).merge_and_unload()
        unfinished = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        try:
            model.save_pretrained(unfinished)
            self.tokenizer.save_pretrained(unfinished)
            put_in_place(unfinished, target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return target


def put_in_place(unfinished: Path, target: Path) -> None:
    """Give a finished folder its name; what had that name is gone once the new one is there."""
    before = target.with_name(f"{target.name}.{os.getpid()}.old")
    if target.exists():
        os.replace(target, before)
    os.replace(unfinished, target)
    shutil.rmtree(before, ignore_errors=True)


def load_classifier(name: str | Path, device: str | torch.device = "auto") -> TextClassifier:
    """A classifier that `TextClassifier.save` wrote, or another one of a folder or the Hub.

    Parameters
    ----------
    name : str or path
        See `tlcourse.bert.checkpoint_folder`.
    device : str or torch.device
        See `tlcourse.training.choose_device`.
    """
    place, tokenizer = str(name), load_tokenizer(str(name))
    model = load_model(_kind(place, config_of(place).get("pooling", "[CLS]")), place)
    names = [model.config.id2label[number] for number in range(model.config.num_labels)]
    whole = getattr(model.config, "whole_labels", False)
    length = min(tokenizer.model_max_length, places_of(body_of(model).embeddings))
    return TextClassifier(
        model.to(choose_device(device)), tokenizer, [*map(int, names)] if whole else names, length
    )


def _kind(name: str, pooling: str) -> Any:
    if pooling == "mean":
        return mean_classifier(config_of(name)["model_type"])
    return AutoModelForSequenceClassification


def tune(
    name: str | Path,
    texts: Sequence[Any],
    labels: Sequence[Any] | np.ndarray,
    *,
    method: str = "full",
    frozen: int | Sequence[str] = 0,
    pooling: str = "[CLS]",
    gradual: bool = False,
    factor: float = 1.0,
    l2_sp: float = 0.0,
    source: Sequence[str] | None = None,
    lam: float = 0.0,
    steps: int | None = None,
    learning_rate: float | None = None,
    batch_size: int = 16,
    max_length: int = 256,
    warmup: float = 0.1,
    weight_decay: float | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    check_at: Collection[int] = (),
    on_check: Callable[[TextClassifier], dict[str, float]] | None = None,
    progress: Progress | None = None,
) -> TextClassifier:
    """Fine-tune an encoder on labelled texts.

    Frozen layers run once over all texts where that fits into memory; the losses are the same.

    Parameters
    ----------
    name : str or path
        A checkpoint of bert, roberta, xlm-roberta, electra or distilbert: of the course, of a
        folder or of the Hub, see `tlcourse.bert.checkpoint_folder`.
    texts : sequence of str or of (str, str)
        Texts, or pairs of texts.
    labels : sequence of str or of int
        One a text.
    method : {"full", "LoRA", "BitFit", "last layer", "head"}
        What trains, see `tlcourse.bert.choose_method`.
    frozen : int or sequence of str
        The lowest layers that do not train, and the embeddings with them.
    pooling : {"[CLS]", "mean"}
        What the head reads: the first state, through the family's own head; or the mean of all,
        often better for encoders of sentences such as ``"minilm"`` with frozen layers.
    gradual, factor, l2_sp
        Lesson 3's gradual unfreezing, discriminative rates and L2-SP, see `fine_tune`.
    source : sequence of str, optional
        Unlabelled texts, for ``λ L_pre + (1 − λ) L_fine`` with masked language modelling as L_pre.
    lam : float
        λ, 0 … 1.
    steps : int, optional
        Two epochs, or 50 if that is more.
    learning_rate : float, optional
        3e-4 at width 384, by width to the power −3 at others; ten times that where the layers'
        own matrices stay as they are (LoRA, BitFit, head).
    max_length : int
        Pieces of a text at most.
    seed : int
        For all that starts at random, the order of the texts and dropout.
    batch_size, warmup, weight_decay, device, check_at, progress
        See `fine_tune`.
    on_check : callable, optional
        Takes the classifier as it is at a step of ``check_at``.

    Returns
    -------
    TextClassifier

    Raises
    ------
    ValueError, TypeError
        If texts, labels and settings do not fit; see also `fine_tune`.

    Examples
    --------
    >>> from tlcourse import bert
    >>> texts, labels = ["A warm film.", "Dull.", "A funny cast.", "A bore."], ["+", "-", "+", "-"]
    >>> clf = bert.tune("minilm", texts, labels, frozen=5, steps=20, device="cpu")
    >>> clf.predict(texts).tolist()
    ['+', '-', '+', '-']
    """
    first, second = split_pairs("texts", texts)
    texts = first if second is None else [*zip(first, second, strict=True)]
    check_count("batch_size", batch_size)
    check_choice("method", method, TUNING_METHODS)
    check_choice("pooling", pooling, POOLINGS)
    given = _plain(labels)
    names = sorted(set(given))
    if len(given) != len(texts):
        raise ValueError(f"labels must have {len(texts)} entries, one a text; got {len(given)}")
    if len(names) < 2:
        raise ValueError(f"labels must hold two classes or more, got {names}")
    place, tokenizer = str(name), load_tokenizer(str(name))
    plain = load_model(
        _kind(place, pooling), place, seed=seed,
        id2label={number: str(label) for number, label in enumerate(names)},
        label2id={str(label): number for number, label in enumerate(names)},
    )  # fmt: skip
    plain.config.pooling, plain.config.whole_labels = pooling, isinstance(names[0], int)
    max_length = min(check_count("max_length", max_length, 3), places_of(body_of(plain).embeddings))
    tokenizer.model_max_length = max_length
    model = choose_method(plain, method, frozen).to(choose_device(device))
    found = TextClassifier(model, tokenizer, names, max_length)
    inputs: Inputs = encode(tokenizer, texts, max_length)
    depth, width = frozen_depth(model), plain.config.hidden_size
    if learning_rate is None:
        learning_rate = min(3e-4 * (384 / width) ** 3, 1e-3)
        if method in ("LoRA", "BitFit") or depth == plain.config.num_hidden_layers:
            learning_rate *= 10
    pre = None
    if source is not None:
        kind: Any = AutoModelForMaskedLM
        head = load_model(kind, place, seed=seed)
        pre = MaskedSource(model, head, tokenizer, encode(tokenizer, source, max_length))
    part: Any = model
    if depth and 4 * width * inputs["input_ids"].numel() <= _CACHE:
        part, inputs = above(plain, inputs, depth)
    found.history = fine_tune(
        part, inputs, [names.index(label) for label in given],
        steps=max(50, 2 * len(given) // batch_size) if steps is None else steps,
        learning_rate=learning_rate, batch_size=batch_size, warmup=warmup,
        weight_decay=weight_decay, gradual=gradual, factor=factor, l2_sp=l2_sp, source=pre, lam=lam,
        seed=seed, device=device, check_at=check_at,
        on_check=None if on_check is None else lambda: on_check(found), progress=progress,
    )  # fmt: skip
    return found


def _plain(labels: Any) -> list[Any]:
    """Labels as texts or whole numbers of Python, all of one kind."""
    if isinstance(labels, (str, bytes)) or not hasattr(labels, "__iter__"):
        raise TypeError(f"labels must be a sequence of texts or whole numbers, got {shown(labels)}")
    found = [label.item() if hasattr(label, "item") else label for label in labels]
    kinds = {type(label) for label in found}
    if not kinds <= {str} and not kinds <= {int}:
        raise TypeError(f"labels must all be texts or all whole numbers, got {shown(found)}")
    return found
