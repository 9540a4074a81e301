"""Tables of the calls of lessons 3 to 5; what goes wrong with their arguments, see `tests.doors`."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import transformers

from tests.doors import (
    Table,
    array,
    choice,
    count,
    flag,
    free,
    labels,
    made,
    number,
    seed,
    share,
    tensor,
    text,
    texts,
)
from tlcourse import bert, data, embeddings, finetuning, multitask

NAN, INF = float("nan"), float("inf")
STATES = torch.linspace(-1, 1, 24).reshape(2, 4, 3)
LOGITS = torch.tensor([[0.3, -0.2], [0.1, 0.4], [0.0, 1.0]])
CLASSES = torch.tensor([0, 1, 1])
SCORES = {("a",): {"a": 0.5}, ("b",): {"b": 0.6}, ("a", "b"): {"a": 0.7, "b": 0.5}}


@functools.cache
def reviews():
    pairs = [(f"{'good' if row % 2 else 'bad'} film {row}", row % 2) for row in range(40)]
    return data.build_dataset("mine", "en", pairs, ("bad", "good"), [text for text, _ in pairs])


@functools.cache
def vectors():
    return embeddings.make_vectors(["film", "good"], np.eye(2))


@functools.cache
def own():
    """A model and its task, both small."""
    model, task = finetuning.build(reviews(), hidden=(4, 4), max_length=6)
    return SimpleNamespace(model=model, task=task, texts=task.splits["train"])


@functools.cache
def bert_model():
    """A tiny BERT with a head, of random numbers."""
    shape = transformers.BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=16, num_labels=2,
    )  # fmt: skip
    return bert.BertMeanClassifier(shape).eval()


def model():
    return made(own().model)


def encoded():
    return made(own().texts)


def names():
    return free(("lower",)).but("lower", ("no such layer",), (3,), None, 3.5, -1, 99)


def spoilt(good):
    """A tensor, and what is none or holds no numbers."""
    bad = good.clone().float()
    bad.view(-1)[0] = NAN
    return tensor(good).but(bad)


def run():
    return {
        "steps": count(1),
        "learning_rate": number(0.1, 0, -1),
        "batch_size": count(2),
        "seed": seed(),
        "device": choice("cpu"),
        "progress": free(None),
    }


FINETUNING: Table = {
    "finetuning.Encoded": lambda: {
        "ids": tensor(own().texts.ids).but(own().texts.lengths),
        "lengths": tensor(own().texts.lengths).but(own().texts.lengths[:1]).called("ids"),
        "labels": tensor(own().texts.labels).but(own().texts.labels[:1]).without(None),
        "weights": free(None).but("x", 3, own().texts.lengths[:1]),
    },
    "finetuning.Encoded.take": lambda: {
        "self": free(own().texts),
        "rows": array([0, 1], empty=False).but([99], [0.5], [True], "first"),
    },
    "finetuning.Task.sample": lambda: {
        "self": free(own().task), "n": count(4).but(1, 1000), "seed": seed(),
    },
    "finetuning.Task.encode": lambda: {
        "self": free(own().task),
        "texts": texts(["a film", "good"], empty=False),
        "labels": free(["good", "bad"]).but("good", 3, ["nice", "bad"], ["good"], [NAN, 1], [7, 1]),
    },
    "finetuning.as_dataset": lambda: {
        "data": free((["a", "b"], ["x", "y"])).but(
            None, 3, "ab", (["a", "b"], ["x"]), ("ab", ["x", "y"]), (["a", 3], ["x", "y"]), ([], []),
        ).called("texts", "labels"),
        "language": choice("en"),
        "name": text("mine"),
    },
    "finetuning.body_of": lambda: {"model": made(bert_model())},
    "finetuning.build": lambda: {
        "texts": texts(["a film", "good"] * 5),
        "labels": free(["x", "y"] * 5).but("x", 3, ["x"], [NAN] * 10, [None] * 10),
        "vectors": made(vectors()).without(None),
        "language": choice("en"),
        "max_words": count(9),
        "max_length": count(3),
        "hidden": free((4, 4)).but(None, 4, (4,), (0, 4), ("4", 4), (4.5, 4)),
        "seed": seed(),
    },
    "finetuning.class_loss": lambda: {"model": model(), "batch": encoded()},
    "finetuning.class_numbers": lambda: {
        "labels": free(["x", "y"]).but("x", None, 3, ["z"], [NAN], [7]), "classes": free(("x", "y")),
    },
    "finetuning.count_parameters": lambda: {"model": model()},
    "finetuning.distance_loss": lambda: {
        "states": tensor(STATES).but(STATES[0, 0, :2]).called("embeddings"),
        "embeddings": tensor(STATES).but(STATES[:, :, :2]),
        "detach": flag(),
    },
    "finetuning.domain_of": lambda: {"tokens": texts(["酒店"], empty=False)},
    "finetuning.domain_rows": lambda: {"dataset": made(reviews()), "domain": choice("hotel")},
    "finetuning.evaluate": lambda: {"model": model(), "texts": encoded()},
    "finetuning.freeze": lambda: {"model": model(), "frozen": names()},
    "finetuning.instance_weights": lambda: {
        "source": array(np.eye(3)).but(np.ones((3, 2))).called("target"),
        "target": array(np.eye(3)).but(np.ones((3, 2))),
        "C": number(0.1, 0, -1),
    },
    "finetuning.l2_sp": lambda: {
        "module": model(),
        "start": free(finetuning.weights_of(own().model)).but(None, "x", 3, {}, {"x": 3}),
    },
    "finetuning.layers_of": lambda: {"model": model()},
    "finetuning.lowest_layers": lambda: {"model": model(), "frozen": names()},
    "finetuning.mixture": lambda: {
        "pre": free(torch.tensor(1.0)).but(None, "x"), "fine": free(torch.tensor(1.0)).but(None, "x"),
        "lam": share(),
    },
    "finetuning.next_word_loss": lambda: {
        "model": model(),
        "ids": tensor(own().texts.ids).but(own().texts.lengths),
        "lengths": tensor(own().texts.lengths).but(own().texts.lengths[:1]).called("ids"),
    },
    "finetuning.parameter_groups": lambda: {
        "model": model(), "learning_rate": number(0.1, 0, -1), "factor": number(2.0, 0, -2),
        "weight_decay": number(0.1, -1),
    },
    "finetuning.slanted_triangular": lambda: {
        "step": count(1, least=0), "steps": count(9), "cut": share(0.1), "ratio": number(32, 0, -1),
    },
    "finetuning.source_loss": lambda: {"model": model(), "texts": encoded(), "limit": count(4)},
    "finetuning.squared_norm": lambda: {"module": model()},
    "finetuning.tune": lambda: {
        **run(),
        "model": model(),
        "target": encoded().without(None),
        "lam": share(),
        "source": encoded().without(None),
        "source_batch_size": count(2).without(None),
        "frozen": names(),
        "gradual": flag(False),
        "factor": number(2.0, 0, -2),
        "rate": choice("constant"),
        "l2_sp": number(0.1, -1),
        "weight_decay": number(0.1, -1),
        "check_at": free(()).but(None, 3, "ab", (1.5,)),
        "on_check": free(None).but("x", 3),
    },
    "finetuning.unfrozen_layers": lambda: {
        "step": count(1, least=0), "steps": count(9),
        "layers": texts(("lower", "upper"), empty=False),
    },
    "finetuning.weights_of": lambda: {"module": model()},
}  # fmt: skip

MULTITASK: Table = {
    "multitask.best_grouping": lambda: {
        "names": texts(("a", "b")).but(("a", "a"), ("a", "c")).called("scores"),
        "scores": free(SCORES).but(None, 3, "ab", {}, {("a",): {"a": 1}}, {("a",): 3}).called("a"),
    },
    "multitask.gradient_cosines": lambda: {"gradients": spoilt(torch.eye(3)).but(torch.ones(3))},
    "multitask.grouping_score": lambda: {
        "division": free((("a",), ("b",))).but(None, 3, "ab", (("a",), ("c",)), ((),), ()).called("'c'"),
        "scores": free(SCORES).but(None, 3, "ab", {}, {("a",): 3}).called("a"),
    },
    "multitask.partitions": lambda: {"names": texts(("a", "b"), empty=False).but(("a", "a"))},
    "multitask.predict_groups": lambda: {
        "names": texts(("a", "b")).but(("a", "a"), ("a", "c")).called("scores"),
        "scores": free(SCORES).but(None, 3, "ab", {}).called("a"),
    },
    "multitask.mean_loss": lambda: {
        "logits": tensor(LOGITS).but(LOGITS[0]).called("labels"), "labels": tensor(CLASSES).but(CLASSES[:1], CLASSES + 5),
    },
    "multitask.multitask_loss": lambda: {
        "logits": free({"a": LOGITS}).but(None, 3, {}, {"b": LOGITS}, {"a": 3}),
        "labels": free({"a": CLASSES}).but(None, 3, {}, {"b": CLASSES}, {"a": 3}, {"a": CLASSES[:1]}),
        "weights": weights().without(None),
    },
    "multitask.relative_weights": lambda: {
        "tasks": texts(("a",)), "weights": weights().without(None),
    },
    "multitask.sampling_probabilities": lambda: {
        "sizes": free({"a": 3, "b": 9}).but(None, 3, {}, {"a": 0}, {"a": -3}, {"a": "3"}, {"a": 1.5}),
        "temperature": number(2.0, 0, -1).without(INF),
    },
}  # fmt: skip


def weights():
    return free({"a": 1.0}).but(
        None, 3, "a", {}, {"typo": 1.0}, {"a": -1}, {"a": NAN}, {"a": "1"}, {"a": None}, {"a": 0}
    )


@functools.cache
def tokenizer():
    return bert.build_tokenizer(["good film", "bad book", "no plot"] * 5, min_count=1)


@functools.cache
def folder():
    """A checkpoint of one's own: random numbers."""
    place = tempfile.mkdtemp()
    shape = bert_model().config
    shape.vocab_size = len(tokenizer())
    transformers.BertForSequenceClassification(shape).save_pretrained(place)
    tokenizer().save_pretrained(place)
    return place


@functools.cache
def pieces():
    return bert.encode(tokenizer(), ["good film", "bad book", "no plot"], 8)


@functools.cache
def classifier():
    return bert.tune(folder(), TEXTS, ["x", "y"] * 4, steps=2, device="cpu", max_length=8)


TEXTS = ["good film", "bad book"] * 4


@functools.cache
def seen():
    """A body that keeps its attention weights."""
    body = transformers.BertModel(bert_model().config).eval()
    body.set_attn_implementation("eager")
    return body


def inputs():
    wrong = {"input_ids": torch.full((2, 3), 99), "attention_mask": torch.ones(2, 3)}
    return (
        free(pieces())
        .but(None, "x", 3, {}, {"input_ids": torch.zeros(2, 3)}, wrong)
        .called("attention_mask", "input_ids")
    )


def given_texts():
    """Texts, or pairs of texts."""
    return free(TEXTS).but("good film", None, 3, [3], [None], [("a",)], [("a", 3)], [])


def tuning():
    return {
        "steps": count(1),
        "learning_rate": number(1e-3, 0, -1),
        "batch_size": count(2),
        "warmup": share(0.1),
        "weight_decay": number(0.1, -1).without(None),
        "gradual": flag(False),
        "factor": number(2.0, 0, -2),
        "l2_sp": number(0.1, -1),
        "lam": share(0.0),
        "seed": seed(),
        "device": choice("cpu"),
        "check_at": free(()).but(None, 3, "ab", (1.5,)),
        "on_check": free(None).but("x", 3),
        "progress": free(None).but("x", 3),
    }


BERT: Table = {
    "bert.TextClassifier.predict": lambda: {"self": free(classifier()), "texts": given_texts()},
    "bert.TextClassifier.probabilities": lambda: {
        "self": free(classifier()), "texts": given_texts(),
    },
    "bert.TextClassifier.scores": lambda: {
        "self": free(classifier()),
        "texts": given_texts().called("labels"),
        "labels": free(["x", "y"] * 4).but("x", None, 3, ["z"] * 8, ["x"], [NAN] * 8),
    },
    "bert.attention_maps": lambda: {
        "model": made(seen()), "tokenizer": made(tokenizer()), "text": text("good"),
        "max_length": count(8, least=2),
    },
    "bert.build_tokenizer": lambda: {"texts": texts(["good film"]), "min_count": count()},
    "bert.checkpoint_folder": lambda: {
        "name": free("minilm").but(None, 3, "minlm", ["minilm"]), "weights": free(True),
    },
    "bert.choose_method": lambda: {
        "model": made(bert_model()), "method": choice("head"),
        "frozen": free(0).but("layer 1", ("no such layer",), (3,), None, 3.5, -1, 99),
    },
    "bert.encode": lambda: {
        "tokenizer": made(tokenizer()), "texts": given_texts(), "max_length": count(8, least=2),
    },
    "bert.encode_documents": lambda: {"texts": texts(["good film"]), "tokenizer": made(tokenizer())},
    "bert.fill_mask": lambda: {
        "model": made(whole()), "tokenizer": made(tokenizer()),
        "text": text("good _").but("", "good"), "top": count(2),
    },
    "bert.fine_tune": lambda: {
        **tuning(),
        "model": made(bert_model()),
        "inputs": inputs(),
        "labels": labels([0, 1, 1]),
        "source": free(None).but("x", 3, ["a"]),
    },
    "bert.frozen_states": lambda: {
        "model": made(bert_model()), "inputs": inputs(), "layers": count(1, least=0, most=2),
        "batch_size": count(2),
    },
    "bert.load_classifier": lambda: {
        "name": free(folder()).but(None, 3, "no such name"), "device": choice("cpu"),
    },
    "bert.load_documents": lambda: {"split": choice("test")},
    "bert.load_entities": lambda: {"split": choice("test")},
    "bert.load_tokenizer": lambda: {"name": free(folder()).but(None, 3, "minlm")},
    "bert.mean_classifier": lambda: {"family": choice("bert")},
    "bert.trainable_share": lambda: {"model": made(bert_model())},
    "bert.tune": lambda: {
        **tuning(),
        "steps": count(1).without(None),
        "learning_rate": number(1e-3, 0, -1).without(None),
        "name": free(folder()).but(None, 3, "no such name"),
        "texts": given_texts().called("labels"),
        "labels": free(["x", "y"] * 4).but("x", None, 3, ["z"], [NAN] * 8, [None] * 8, ["x"] * 8),
        "method": choice("head"),
        "frozen": free(0).but("layer 1", ("no such layer",), (3,), None, 3.5, -1, 99),
        "pooling": choice("mean"),
        "source": texts(TEXTS).without(None),
        "max_length": count(8, least=2),
    },
    "bert.upper_part": lambda: {"model": made(bert_model()), "layers": count(1, least=0, most=2)},
}  # fmt: skip


@functools.cache
def whole():
    return transformers.BertForPreTraining(bert_model().config).eval()


@functools.cache
def two():
    """Two tasks on one trunk."""
    both = {"a": reviews(), "b": (TEXTS, ["x", "y"] * 4)}
    found = multitask.train(both, steps=1, device="cpu")
    return SimpleNamespace(
        both=both,
        clf=found,
        texts={name: task.splits["train"] for name, task in found.suite.tasks.items()},
    )


def tasks():
    some = two().texts["a"]
    return free(two().texts).but(None, "a", 3, {}, {"typo": some}, {"a": 3}, {"a": None})


def spread(name):
    """What `multitask.train` and `multitask.train_tasks` have in common."""
    return {
        **run(),
        "weights": free(None).but("a", 3, {}, {"typo": 1.0}, {"a": -1, "b": 1}, {"a": "1", "b": 1}),
        "temperature": number(2.0, 0, -1).without(None, INF),
        "method": choice("weights"),
        "lam": share(0.0),
        "source_batch_size": count(2).without(None),
        "frozen": names(),
        "check_at": free(()).but(None, 3, "ab", (1.5,)),
        "on_check": free(None).but("x", 3),
    }


def one_of_two():
    return {"texts": texts(["a film"]), "task": choice("a")}


MORE: Table = {
    "multitask.MultitaskClassifier.predict": lambda: {"self": free(two().clf), **one_of_two()},
    "multitask.MultitaskClassifier.probabilities": lambda: {
        "self": free(two().clf), **one_of_two(),
    },
    "multitask.MultitaskClassifier.scores": lambda: {
        "self": free(two().clf), "texts": texts(["a film"]).called("labels"), "task": choice("a"),
        "labels": free(["good"]).but("good", 3, None, ["nice"], ["good", "bad"]),
    },
    "multitask.build_multitask": lambda: {
        "suite": made(two().clf.suite), "names": texts(("a",)).but(("typo",)), "seed": seed(),
        "hidden": free((4, 4)).but(None, 4, (4,), (0, 4), ("4", 4), (4.5, 4)),
    },
    "multitask.build_suite": lambda: {
        "datasets": free(two().both).but(None, 3, "ab", {}, {"a": 3}, {"a": (["x"], ["y", "z"])}).called(
            "data", "labels"
        ),
        "vectors": made(vectors()).without(None), "language": choice("en"),
        "max_words": count(9), "max_length": count(3),
    },
    "multitask.evaluate_tasks": lambda: {"model": made(two().clf.model), "texts": tasks()},
    "multitask.train": lambda: {
        **spread("data"),
        "data": free(two().both).but(None, 3, "ab", {}, {"a": 3}, {"a": (["x"], ["y", "z"])}).called(
            "datasets", "labels"
        ),
        "vectors": made(vectors()).without(None),
        "language": choice("en"),
        "source": texts(TEXTS).without(None),
    },
    "multitask.train_tasks": lambda: {
        **spread("tasks"), "model": made(two().clf.model), "tasks": tasks(),
        "source": made(two().texts["a"]).without(None),
    },
    "multitask.trunk_distance": lambda: {
        "a": made(two().clf.model), "b": made(two().clf.model),
    },
    "multitask.trunk_parameters": lambda: {"model": made(two().clf.model)},
    "training.predict": lambda: {
        "model": model(), "inputs": free(own().texts.inputs).but(None, 3, "x", []),
        "batch_size": count(2),
    },
    "training.train_classifier": lambda: {
        "model": model(),
        "inputs": free(own().texts.inputs).but(None, 3, "x", []),
        "labels": labels(own().texts.labels.numpy()),
        "epochs": count(1),
        "learning_rate": number(0.1, 0, -1),
        "batch_size": count(8),
        "weight_decay": number(0.1, -1),
        "seed": seed(),
        "on_epoch": free(None).but(3, "x").called("on_check"),
        "progress": free(None).but(3, "x"),
        "device": choice("cpu"),
    },
    "scores.binary_scores": lambda: {
        "labels": labels([0, 1, 1]).but([1, 1, 1]),
        "positive": array([0.1, 0.7, 0.8]).but([0.1, 0.2]).called("labels"),
        "threshold": number(0.5),
    },
    "bert.predict": lambda: {
        "model": made(bert_model()), "inputs": inputs(), "batch_size": count(2),
    },
    "bert.TextClassifier.save": lambda: {
        "self": free(classifier()), "folder": free(folder()).but(None, 3, ["a"]),
    },
    "bert.above": lambda: {
        "model": made(bert_model()), "inputs": inputs(), "layers": count(1, least=0, most=2),
    },
    "bert.frozen_depth": lambda: {"model": made(bert_model())},
    "bert.attributions": lambda: {
        "model": made(bert_model()), "tokenizer": made(tokenizer()), "text": text("good film"),
        "label": count(1, least=0, most=1), "steps": count(2),
    },
    "finetuning.load_task": lambda: {"name": choice("zh_reviews")},
    "models.masked_mean": lambda: {
        "states": tensor(STATES).but(STATES[0]), "lengths": tensor(torch.tensor([2, 3])).but(torch.tensor([9, 1]), torch.tensor([1])),
    },
    "models.last_state": lambda: {
        "states": tensor(STATES).but(STATES[0]), "lengths": tensor(torch.tensor([2, 3])).but(torch.tensor([9, 1]), torch.tensor([1])),
    },
}  # fmt: skip


def grads():
    """Two losses of one graph, and the parameters beneath."""
    weight = torch.ones(3, requires_grad=True)
    losses = {"a": weight.sum(), "b": (weight**2).sum()}
    return {
        "parts": free(losses).but(None, 3, "a", {}, {"a": 3}),
        "parameters": free([weight]).but(None, 3, "x", [], [3]),
    }


@functools.cache
def table_file():
    place = Path(tempfile.mkdtemp()) / "own.csv"
    rows = [f"a {word} film {row},{word}" for row in range(60) for word in ("good", "bad")]
    place.write_text("\n".join(["text,label", *rows]), encoding="utf8")
    return place


REST: Table = {
    "data.load_labelled": lambda: {
        "place": free(table_file()).but(None, 3, ["a"], "no such file.csv"),
        "text": free("text").but(None, 3, "no such column", ["text"]),
        "label": free("label").but(None, 3, "no such column", ["label"]),
        "pair": free(None).but(3, "no such column", ["label"]).called("no column"),
        "language": choice("en"),
        "encoding": free("utf8").but(None, 3, "klingon"),
        "doubtful": choice("error"),
        "limit": count(100).without(None),
        "seed": seed(),
    },
    "mapping.classify_averages": lambda: {
        "n": count(20, least=0, most=10**6), "seed": seed(), "arm": choice("Chinese only"),
        "split": choice("test"), "pairs": count(30).but(10**6).without(None),
        "data": free(None).but(3, "x"),
    },
    "finetuning.Encoded.batches": lambda: {
        "self": free(own().texts), "size": count(2), "seed": seed(),
    },
    "finetuning.Encoded.to": lambda: {"self": free(own().texts), "device": choice("cpu")},
    "finetuning.encode_task": lambda: {
        "name": text("mine"), "dataset": made(reviews()), "vocabulary": made(own().task.vocabulary),
        "max_length": count(5), "classes": free(None),
    },
    "finetuning.standard_embedding": lambda: {
        "vocabulary": made(own().task.vocabulary), "centre": flag(), "seed": seed(),
    },
    "finetuning.initial_embedding": lambda: {
        "task": made(own().task), "init": choice("random"), "seed": seed(),
    },
    "finetuning.build_model": lambda: {
        "task": made(own().task), "init": choice("random"), "pretrained": flag(False),
        "seed": seed(),
    },
    "multitask.Suite.sample": lambda: {
        "self": free(two().clf.suite),
        "sizes": free({"a": 4}).but(None, 3, "a", {}, {"typo": 4}, {"a": 0}, {"a": 10**6}, {"a": "4"}).called(
            "names", "n must", "n ="
        ),
        "seed": seed(),
    },
    "multitask.Suite.source": lambda: {
        "self": free(two().clf.suite), "names": texts(["a"]).but(["typo"]),
    },
    "multitask.Suite.check_names": lambda: {
        "self": free(two().clf.suite), "names": texts(["a"]).but(["typo"]),
    },
    "multitask.task_gradients": grads,
    "multitask.project_conflicts": grads,
    "multitask.loss_parts": lambda: {
        "means": free({"a": torch.tensor(1.0)}).but(None, 3, {}, {"b": torch.tensor(1.0)}).called("labels"),
        "labels": free({"a": CLASSES}).but(None, 3, {}, {"b": CLASSES}),
        "weights": free({"a": 1.0}).but(None, 3, {}, {"b": 1.0}),
    },
    "multitask.probe_gradients": lambda: {"model": made(two().clf.model), "probe": tasks()},
    "multitask.train_tied": lambda: {
        **run(),
        "models": free({name: two().clf.model for name in "ab"}).but(
            None, 3, "ab", {}, {"a": two().clf.model}, {"a": 3, "b": 3}
        ).called("tasks"),
        "tasks": tasks(),
        "strength": number(0.1, -1),
    },
    "multitask.gain_matrix": lambda: {
        "arm": choice("at once").without(["at once"]), "n": count(50).but(3).without([3]),
        "metric": choice("accuracy").without(["accuracy"]),
    },
    "bert.encode_tags": lambda: {
        "tokenizer": made(tokenizer()),
        "texts": free([bert.tag_words([("good", "n")])]).but("x", None, 3, [3], []),
        "max_length": count(8, least=3),
    },
    "bert.tag_words": lambda: {
        "words": free([("good", "n")]).but("x", None, 3, [3], [("good",)], [(3, "n")]),
    },
    "bert.load_model": lambda: {
        "kind": free(bert.BertMeanClassifier).but(None, 3, "BertModel"),
        "name": free(folder()).but(None, 3, "no such name"), "scratch": flag(), "seed": seed(),
    },
}  # fmt: skip

LESSONS: Table = {**FINETUNING, **MULTITASK, **BERT, **MORE, **REST}
