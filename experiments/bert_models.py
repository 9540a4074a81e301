"""How the course's own small BERT was pretrained; ``tlcourse pretrain bert-zh`` does it again."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from transformers import BertConfig, BertForPreTraining, PreTrainedTokenizerBase

from experiments.engine import versions, write
from tlcourse.bert.masking import (
    Documents,
    build_tokenizer,
    collate_pairs,
    draw_pairs,
    encode_documents,
    load_documents,
    masked_batches,
    piece_frequencies,
    unigram_loss,
)
from tlcourse.bert.models import BertMeanClassifier, encode
from tlcourse.bert.pretraining import pretrain, pretraining_scores
from tlcourse.bert.tuning import fine_tune, predict
from tlcourse.data.datasets import load_zh_reviews
from tlcourse.embeddings.word2vec import train_word2vec
from tlcourse.paths import data_dir
from tlcourse.training import Progress

NAME = "bert-zh"
SHAPE: dict[str, Any] = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "max_position_embeddings": 128,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
RECIPE: dict[str, Any] = {
    "stages": [(6500, 64, 64), (1000, 32, 128)],
    "learning_rate": 1e-3,
    "warmup": 200,
    "weight_decay": 0.01,
    "seed": 0,
}
VECTORS: dict[str, Any] = {"vector_size": 256, "epochs": 5, "min_count": 1, "seed": 0}
CHECKS = (0, 100, 250, 500, 1000, 1500, 2000, 3000, 4000, 5000, 6000, 6500, 7000, 7500)
TUNED_AT = (0, 3000, 5000, 7500)
VALIDATION_PAIRS = 512
TUNED = {"labels": 200, "judged": 600, "max_length": 64}
DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}


def make(folder: Path | None = None, progress: Progress | None = None) -> Path:
    """Pretrain the small Chinese BERT and write it with tokenizer, recipe and curve.

    Reads the train splits of the reviews, without their labels, and of the newspaper lines.
    Goes on where it was stopped. Runs on several processes under ``accelerate launch``, each
    of which then draws its own examples at every step.
    """
    accelerator = Accelerator()
    target = (folder or data_dir() / "models") / NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    state = target.with_name(f"{NAME}.partial.safetensors")
    resumed, start = state.is_file(), time.perf_counter()
    texts = load_documents("train")
    tokenizer = build_tokenizer(texts)
    documents = encode_documents(texts, tokenizer)
    model = new_model(SHAPE, documents, tokenizer, None if resumed else VECTORS)
    held_out = encode_documents(load_documents("validation"), tokenizer)
    judged = masked_batches(held_out, tokenizer, VALIDATION_PAIRS, 64)

    def on_check(step: int) -> dict[str, float]:
        found = pretraining_scores(model, judged)
        if step in TUNED_AT:
            found["reviews"] = tuned_accuracy(model, tokenizer)
        return found

    history = pretrain(
        model, documents, tokenizer, **RECIPE, state=state, check_at=CHECKS, on_check=on_check,
        progress=progress, accelerator=accelerator,
    )  # fmt: skip
    if accelerator.is_main_process:
        about = {
            "command": f"{_launched(accelerator)}tlcourse pretrain {NAME}",
            "shape": SHAPE,
            "recipe": RECIPE,
            "vectors": VECTORS,
            "precision": accelerator.mixed_precision,
            "processes": accelerator.num_processes,
            "documents": len(documents),
            "pieces": sum(map(len, documents.ids)),
            "vocabulary": len(tokenizer),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "unigram_loss": round(unigram_loss(documents, judged, len(tokenizer)), 4),
            "pairs_by_length": pairs_by_length(documents, judged),
            "mlm_by_place": mlm_by_place(model, held_out, tokenizer),
            "checks": history.checks,
            "train_mlm": _means(history.parts["mlm"], 50),
            "seconds": None if resumed else round(time.perf_counter() - start, 1),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "versions": versions(),
        }
        save(model, tokenizer, about, target)
        state.unlink(missing_ok=True)
    accelerator.end_training()
    return target


def _launched(accelerator: Accelerator) -> str:
    """What stands before the command if it was not run plainly."""
    if accelerator.mixed_precision == "no" and accelerator.num_processes == 1:
        return ""
    return (
        f"accelerate launch --mixed_precision {accelerator.mixed_precision} "
        f"--num_processes {accelerator.num_processes} -m "
    )


def new_model(
    shape: dict[str, Any],
    documents: Documents,
    tokenizer: PreTrainedTokenizerBase,
    vectors: dict[str, Any] | None = None,
    seed: int = 0,
) -> BertForPreTraining:
    """A BERT that knows only how frequent each character is, and their vectors if asked for.

    Parameters
    ----------
    shape : dict
        For `transformers.BertConfig`.
    documents : Documents
        Where frequencies and vectors come from.
    tokenizer : transformers.PreTrainedTokenizerBase
    vectors : dict, optional
        How to train Word2Vec vectors to start the embedding from; random ones if left out.
    seed : int
    """
    torch.manual_seed(seed)
    config = BertConfig(vocab_size=len(tokenizer), **shape)
    model = BertForPreTraining(config)
    model.set_attn_implementation("eager")  # the faster one on a CPU, for short texts
    frequencies = piece_frequencies(documents, len(tokenizer))
    table = model.bert.embeddings.word_embeddings.weight
    with torch.no_grad():
        model.cls.predictions.bias.copy_(frequencies.log())
        if vectors is not None:
            sentences = [list(map(str, ids)) for ids in documents.ids]
            trained = train_word2vec(sentences, **vectors)
            values = torch.from_numpy(trained.vectors)
            values = values - values.mean(0)
            values *= 1.5 * config.initializer_range / values.std()
            table[list(map(int, trained.index_to_key))] = values
    return model


def mlm_by_place(
    model: BertForPreTraining, documents: Documents, tokenizer: PreTrainedTokenizerBase
) -> list[float]:
    """MLM loss at the first 64 places of long validation texts, and at those behind them."""
    torch.manual_seed(0)
    pairs = draw_pairs(documents, 128, 128, np.random.default_rng(0))
    whole = collate_pairs(
        [pair for pair in pairs if len(pair["a"]) + len(pair["b"]) > 120], tokenizer
    )
    found = []
    for first in (True, False):
        near = torch.arange(whole["labels"].shape[1]) < 64
        labels = whole["labels"].where(near if first else ~near, -100)
        found.append(pretraining_scores(model, [{**whole, "labels": labels}])["mlm"])
    return found


def pairs_by_length(documents: Documents, judged: Sequence[dict[str, torch.Tensor]]) -> float:
    """The share of sentence pairs that their lengths alone give away.

    A replaced B is often shorter than the room left to it, a true one seldom: a small decision
    tree over the two lengths, fitted on other pairs, says how far that carries.
    """
    from sklearn.tree import DecisionTreeClassifier

    pairs = draw_pairs(documents, 4000, 64, np.random.default_rng(1))
    pairs = [pair for pair in pairs if pair["next_sentence_label"] >= 0]
    lengths = [(len(pair["a"]) + 2, len(pair["b"]) + 1) for pair in pairs]
    labels = [pair["next_sentence_label"] for pair in pairs]
    tree = DecisionTreeClassifier(max_depth=5, random_state=0)
    tree.fit([(a, b, a + b) for a, b in lengths], labels)
    second = torch.cat([batch["token_type_ids"].sum(1) for batch in judged]).numpy()
    both = torch.cat([batch["attention_mask"].sum(1) for batch in judged]).numpy()
    wanted = torch.cat([batch["next_sentence_label"] for batch in judged]).numpy()
    rows = wanted >= 0
    guessed = tree.predict(np.stack([both - second, second, both], axis=1)[rows])
    return round(float((guessed == wanted[rows]).mean()), 4)


def tuned_accuracy(model: BertForPreTraining, tokenizer: PreTrainedTokenizerBase) -> float:
    """Accuracy on validation reviews once the encoder is tuned on 200 labels, mean of 3 draws.

    What a checkpoint of the pretraining is worth for a task that it was not trained for.
    """
    reviews = load_zh_reviews()
    judged = reviews.subset("validation").sample(TUNED["judged"], 0)
    texts = encode(tokenizer, judged.texts, TUNED["max_length"])
    right = []
    for seed in range(3):
        train = reviews.subset("train").sample(TUNED["labels"], seed)
        torch.manual_seed(seed)
        config = BertConfig.from_dict({**model.config.to_dict(), **DROPOUT, "num_labels": 2})
        classifier = BertMeanClassifier(config)
        classifier.bert.load_state_dict(model.bert.state_dict(), strict=False)  # no pooler
        fine_tune(
            classifier, encode(tokenizer, train.texts, TUNED["max_length"]),
            torch.from_numpy(train.labels), steps=50, learning_rate=1e-3, seed=seed, device="cpu",
        )  # fmt: skip
        right.append((predict(classifier, texts).argmax(1) == judged.labels).mean())
    return round(float(np.mean(right)), 4)


def save(
    model: BertForPreTraining,
    tokenizer: PreTrainedTokenizerBase,
    about: dict[str, Any],
    target: Path,
) -> None:
    """Write a model's folder, in half precision, whole or not at all."""
    unfinished = target.with_name(target.name + ".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.half().save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    write(unfinished / "recipe.json", json.dumps(about, indent=1) + "\n")
    before = target.with_name(target.name + ".old")
    shutil.rmtree(before, ignore_errors=True)
    if target.exists():
        os.replace(target, before)
    os.replace(unfinished, target)
    shutil.rmtree(before, ignore_errors=True)


def _means(values: list[float], size: int) -> list[float]:
    parts = [values[start : start + size] for start in range(0, len(values), size)]
    return [round(float(np.mean(part)), 3) for part in parts]
