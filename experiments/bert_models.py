"""How the course's own small BERT was pretrained; ``tlcourse pretrain bert-zh`` does it again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from sklearn.tree import DecisionTreeClassifier
from transformers import BertConfig, BertForPreTraining, PreTrainedTokenizerBase

from experiments.engine import describe
from experiments.recipes import RECIPES
from experiments.shared import tuned
from tlcourse.bert.classifier import put_in_place
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
from tlcourse.bert.tuning import predict
from tlcourse.data.datasets import load_zh_reviews
from tlcourse.embeddings.word2vec import train_word2vec
from tlcourse.paths import data_dir
from tlcourse.training import Progress

NAME = "bert-zh"
SHAPE, RECIPE, VECTORS = (RECIPES[NAME][part] for part in ("shape", "recipe", "vectors"))
CHECKS, TUNED_AT = RECIPES[NAME]["checks"]["at"], RECIPES[NAME]["checks"]["tuned_at"]
VALIDATION_PAIRS = 512
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
        precision, processes = accelerator.mixed_precision, accelerator.num_processes
        launched = f"accelerate launch --mixed_precision {precision} --num_processes {processes} -m"
        plainly = precision == "no" and processes == 1
        means = np.array_split(history.parts["mlm"], range(50, len(history.parts["mlm"]), 50))
        about = {
            "command": f"{'' if plainly else launched + ' '}tlcourse pretrain {NAME}",
            "shape": SHAPE,
            "recipe": RECIPE,
            "vectors": VECTORS,
            "precision": precision,
            "processes": processes,
            "documents": len(documents),
            "pieces": sum(map(len, documents.ids)),
            "vocabulary": len(tokenizer),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "unigram_loss": round(unigram_loss(documents, judged, len(tokenizer)), 4),
            "pairs_by_length": pairs_by_length(documents, judged),
            "mlm_by_place": mlm_by_place(model, held_out, tokenizer),
            "checks": history.checks,
            "train_mlm": [round(float(part.mean()), 3) for part in means],
            "seconds": None if resumed else round(time.perf_counter() - start, 1),
            "cores": os.cpu_count(),
        }
        save(model, tokenizer, about, target)
        state.unlink(missing_ok=True)
    accelerator.end_training()
    return target


def new_model(
    shape: dict[str, Any],
    documents: Documents,
    tokenizer: PreTrainedTokenizerBase,
    vectors: dict[str, Any] | None = None,
    seed: int = 0,
) -> BertForPreTraining:
    """A BERT that knows only how frequent each character is in some documents.

    Its embedding starts from their Word2Vec vectors, if ``vectors`` says how to train them.
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
    judged = reviews.subset("validation").sample(600, 0)
    texts = encode(tokenizer, judged.texts, 64)
    right = []
    for seed in range(3):
        train = reviews.subset("train").sample(200, seed)
        torch.manual_seed(seed)
        config = BertConfig.from_dict({**model.config.to_dict(), **DROPOUT, "num_labels": 2})
        classifier = BertMeanClassifier(config)
        classifier.bert.load_state_dict(model.bert.state_dict(), strict=False)  # no pooler
        inputs = encode(tokenizer, train.texts, 64)
        tuned(classifier, inputs, train.labels, 0, 1e-3, seed)
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
    describe(unfinished / "recipe.json", about)
    put_in_place(unfinished, target)
