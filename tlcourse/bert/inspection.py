"""Lesson 5: look into a BERT: what it fills in, where it looks, which pieces moved a decision."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import numpy as np
import torch

from tlcourse.arguments import check_count, shown
from tlcourse.inputs import check_inputs

if TYPE_CHECKING:
    from transformers import BertForPreTraining, PreTrainedModel
    from transformers import PreTrainedTokenizerBase as Tokenizer

_MAX_CHARACTERS = 120


def check_sentence(text: str) -> str:
    """The text with full-width forms replaced; refused if it is empty or too long to look at.

    Raises
    ------
    ValueError, TypeError
    """
    if not isinstance(text, str):
        raise TypeError(f"the text must be one text, got {shown(text)}")
    text = unicodedata.normalize("NFKC", text).strip()  # first, since it can make a text longer
    if not text:
        raise ValueError("the text is empty; type a sentence")
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(
            f"the text has {len(text)} characters; at most {_MAX_CHARACTERS} can be shown"
        )
    return text


def fill_mask(
    model: BertForPreTraining, tokenizer: Tokenizer, text: str, top: int = 5
) -> list[list[tuple[str, float]]]:
    """The likeliest pieces at each blank of a text.

    Parameters
    ----------
    model : transformers.BertForPreTraining
    tokenizer : transformers.PreTrainedTokenizerBase
    text : str
        With ``[MASK]`` or ``_`` where a piece is missing.
    top : int
        How many pieces for each blank.

    Returns
    -------
    list of list of (str, float)
        For each blank the pieces with their probabilities, the likeliest first; special pieces
        such as ``[UNK]`` are left out and the others' probabilities sum to 1.

    Raises
    ------
    ValueError
        If the text is empty, too long or has no blank.
    """
    text = re.sub(r"(?i)\[mask\]|_", tokenizer.mask_token, check_sentence(text))
    batch = tokenizer(text, return_tensors="pt").to(model.device)
    blanks = batch["input_ids"][0] == tokenizer.mask_token_id
    if not blanks.any():
        raise ValueError("the text has no blank; write [MASK] or _ where a character is missing")
    check_count("top", top, 1, len(tokenizer) - len(tokenizer.all_special_ids))
    check_inputs(model, batch)
    model.eval()
    with torch.no_grad():
        logits = model(**batch).prediction_logits[0, blanks]
    logits[:, tokenizer.all_special_ids] = -torch.inf
    found = logits.softmax(-1).topk(top)
    return [
        list(zip(tokenizer.convert_ids_to_tokens(rows.tolist()), values.tolist(), strict=True))
        for values, rows in zip(found.values, found.indices, strict=True)
    ]


def attention_maps(
    model: PreTrainedModel, tokenizer: Tokenizer, text: str, max_length: int = 32
) -> tuple[list[str], np.ndarray]:
    """Where each piece of a text looks, in every layer and head.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        An encoder such as ``BertModel``, loaded with ``attn_implementation="eager"``: the fused
        kernels keep no weights.
    tokenizer : transformers.PreTrainedTokenizerBase
    text : str
    max_length : int
        Pieces that are read, 3 or more: ``[CLS]`` and ``[SEP]`` are among them.

    Returns
    -------
    pieces : list of str
    weights : numpy.ndarray
        float32, shape (layers, heads, length, length); rows look at columns and sum to 1.

    Raises
    ------
    ValueError
        If the text is empty or too long, or the model keeps no weights.
    """
    check_count("max_length", max_length, 3)  # below, the library does not cut at all
    batch = tokenizer(
        check_sentence(text), truncation=True, max_length=max_length, return_tensors="pt"
    ).to(model.device)
    check_inputs(model, batch)
    model.eval()
    with torch.no_grad():
        found = model(**batch, output_attentions=True).attentions
    if not found or found[0] is None:
        raise ValueError(
            'the model keeps no attention weights; load it with attn_implementation="eager"'
        )
    return _pieces(tokenizer, batch["input_ids"]), torch.cat(list(found)).cpu().numpy()


def _pieces(tokenizer: Tokenizer, ids: torch.Tensor) -> list[str]:
    return [str(piece) for piece in tokenizer.convert_ids_to_tokens(ids[0].tolist())]


def attributions(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    text: str,
    label: int,
    steps: int = 32,
) -> tuple[list[str], np.ndarray, float]:
    """How much each piece moved a class's logit, by integrated gradients.

    The path runs from a text of ``[PAD]`` with the same ``[CLS]`` and ``[SEP]`` to the text.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A classifier.
    tokenizer : transformers.PreTrainedTokenizerBase
    text : str
    label : int
        The class whose logit is explained.
    steps : int
        Points on the path.

    Returns
    -------
    pieces : list of str
    scores : numpy.ndarray
        float32, shape (length,); their sum is nearly the difference of the logits at both ends.
    gap : float
        What the sum misses of that difference.

    Reference
    ---------
    Sundararajan, Taly and Yan (2017), Axiomatic attribution for deep networks.
    """
    from captum.attr import LayerIntegratedGradients

    check_count("label", label, 0, (model.config.num_labels or 1) - 1)
    check_count("steps", steps)
    batch = tokenizer(check_sentence(text), return_tensors="pt").to(model.device)
    check_inputs(model, batch)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    blank = torch.full_like(ids, tokenizer.pad_token_id)
    blank[:, [0, -1]] = ids[:, [0, -1]]
    model.eval()
    method = LayerIntegratedGradients(
        lambda rows, seen: model(input_ids=rows, attention_mask=seen).logits,
        model.get_input_embeddings(),
    )
    values, gap = method.attribute(
        ids, blank, target=label, additional_forward_args=(mask,), n_steps=steps,
        internal_batch_size=8, return_convergence_delta=True,
    )  # fmt: skip
    return _pieces(tokenizer, ids), values.sum(-1)[0].detach().cpu().numpy(), float(gap)
