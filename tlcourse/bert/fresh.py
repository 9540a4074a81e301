"""Lesson 5: a small BERT of your own, from nothing, and its first steps of pretraining."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import BertConfig, BertForPreTraining, BertTokenizer

from tlcourse.arguments import check_choice, check_count
from tlcourse.bert.masking import Documents, piece_frequencies
from tlcourse.bert.pretraining import pretrain, pretraining_scores
from tlcourse.embeddings.word2vec import train_word2vec
from tlcourse.training import Progress, Stream


def new_bert(
    documents: Documents,
    tokenizer: BertTokenizer,
    *,
    layers: int = 2,
    width: int = 128,
    max_length: int = 64,
    bias: str = "frequencies",
    vectors: dict[str, Any] | None = None,
    seed: int = 0,
) -> BertForPreTraining:
    """A BERT to be pretrained that knows at most how frequent each piece is, and its vector.

    Parameters
    ----------
    documents : Documents
        Where frequencies and vectors come from.
    tokenizer : transformers.BertTokenizer
    layers, width, max_length : int
        Its shape; the width in steps of 64, a head for each.
    bias : {"frequencies", "zeros"}
        Where the output's bias starts: from the pieces' log frequencies, or from 0.
    vectors : dict, optional
        How to train Word2Vec vectors to start the embedding from, see
        `tlcourse.embeddings.train_word2vec`; random ones if left out.
    seed : int

    Returns
    -------
    transformers.BertForPreTraining
        Without dropout.
    """
    check_choice("bias", bias, ("frequencies", "zeros"))
    for name, value, least in (("layers", layers, 1), ("width", width, 64)):
        check_count(name, value, least)
    if width % 64:
        raise ValueError(f"width must be a multiple of 64, got {width}")
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=width // 64, intermediate_size=4 * width,
        max_position_embeddings=check_count("max_length", max_length, 8),
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    with Stream(seed):
        model = BertForPreTraining(config)
    model.set_attn_implementation("eager")  # the faster one on a CPU, for short texts
    frequencies = piece_frequencies(documents, len(tokenizer))
    table: Any = model.bert.embeddings.word_embeddings.weight
    with torch.no_grad():
        output: Any = model.cls.predictions.bias
        output.copy_(frequencies.log() if bias == "frequencies" else torch.zeros_like(output))
        if vectors is not None:
            trained = train_word2vec([list(map(str, ids)) for ids in documents.ids], **vectors)
            values = torch.from_numpy(trained.vectors)
            values = values - values.mean(0)
            values *= 1.5 * config.initializer_range / values.std()
            table[list(map(int, trained.index_to_key))] = values
    return model


def first_steps(
    documents: Documents,
    tokenizer: BertTokenizer,
    judged: Sequence[dict[str, torch.Tensor]],
    bias: str = "frequencies",
    learning_rate: float = 1e-3,
    *,
    steps: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Scores of a very small BERT during the first steps of its pretraining.

    Parameters
    ----------
    documents, tokenizer, bias, seed
        See `new_bert`.
    judged : sequence of dict
        Other texts with masks, as `masked_batches` gives them.
    learning_rate, steps, progress
        See `pretrain`; a step reads 8 texts of up to 48 pieces.

    Returns
    -------
    list of dict
        Before training and after each tenth of it the ``step`` and `pretraining_scores`.
    """
    model = new_bert(documents, tokenizer, bias=bias, seed=seed)
    history = pretrain(
        model, documents, tokenizer, stages=[(steps, 8, 48)], learning_rate=learning_rate,
        warmup=20, seed=seed, check_at=[steps * part // 10 for part in range(11)],
        on_check=lambda step: pretraining_scores(model, judged), device="cpu",
        progress=progress,
    )  # fmt: skip
    return history.checks
