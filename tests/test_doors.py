"""Guarded doors: every public call tells a bad argument by name, what came and what it expects."""

from __future__ import annotations

import functools
import tempfile
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from tests import doors
from tests.doors import (
    Table,
    array,
    choice,
    count,
    documents,
    flag,
    free,
    labels,
    made,
    number,
    seed,
    share,
    text,
    texts,
)
from tests.doors_lessons import LESSONS
from tlcourse import checks, data, embeddings, mapping, recorded

WORDS = ["film", "book", "good", "bad"]
SENTENCES = [["film", "good"], ["book", "bad", "film"]] * 4
E = np.random.default_rng(0).normal(size=(6, 3))


@functools.cache
def vectors():
    return embeddings.make_vectors(WORDS, E[:4], [4, 3, 2, 1])


@functools.cache
def reviews():
    pairs = [(f"{'good' if row % 2 else 'bad'} film {row}", row % 2) for row in range(40)]
    return data.build_dataset("mine", "en", pairs, ("bad", "good"), [text for text, _ in pairs])


@functools.cache
def vocabulary():
    return data.Vocabulary.build(SENTENCES)


@functools.cache
def spaces():
    listed = dict(list(data.load_dictionary().translations.items())[:60])
    english = sorted({item for items in listed.values() for item in items})
    draw = np.random.default_rng(0).normal
    return mapping.Bilingual(
        embeddings.make_vectors(list(listed), draw(size=(60, 3))),
        embeddings.make_vectors(english, draw(size=(len(english), 3))),
        data.Dictionary(listed),
        60,
    )


@functools.cache
def bridge():
    return mapping.LinearMap(np.eye(3), np.zeros(3))


@functools.cache
def chinese():
    words = ["电影", "音乐", "书"]
    return embeddings.make_vectors(words, E[:3], [3, 2, 1])


def pairs():
    """X and Y, and what is as long."""
    return {"X": array(E), "Y": array(E[:, ::-1]).but(E[:4])}


def keyed():
    return made(vectors())


DATA: Table = {
    "data.Dictionary": lambda: {"translations": free({"a": ("b",)})},
    "data.Dictionary.subset": lambda: {"self": free(spaces().dictionary), "split": choice("test")},
    "data.Dictionary.restrict": lambda: {
        "self": free(spaces().dictionary),
        "source_words": free({"a"}),
        "target_words": free({"a"}),
    },
    "data.TextDataset.take": lambda: {
        "self": free(reviews()),
        "rows": array([0, 3], empty=False).but([0.5], [99], [-41], [True], "first"),
    },
    "data.TextDataset.subset": lambda: {"self": free(reviews()), "split": choice("train")},
    "data.TextDataset.sample_rows": lambda: {
        "self": free(reviews()), "n": count(4).but(1, 1000), "seed": seed(),
    },
    "data.TextDataset.sample": lambda: {
        "self": free(reviews()), "n": count(4).but(1, 1000), "seed": seed(),
    },
    "data.Vocabulary.build": lambda: {
        "documents": documents(SENTENCES, empty=False),
        "min_count": count(),
        "max_words": count(3).without(None),
    },
    "data.Vocabulary.encode": lambda: {
        "self": free(vocabulary()), "tokens": texts(WORDS, empty=False),
    },
    "data.Vocabulary.encode_batch": lambda: {
        "self": free(vocabulary()),
        "documents": documents(SENTENCES, empty=False),
        "max_length": count(3),
    },
    "data.build_dataset": lambda: {
        "name": text("mine"),
        "language": choice("en"),
        "pairs": free([("a film", 0), ("a book", 1)]).but(
            None, "ab", 3, [("a", 0)], [(0, "a"), (1, "b")], [("a", 0), ("b", 7)], [("a", 0), ("b", -1)],
            [("a", 0.5), ("b", 1)], [("a", None), ("b", 1)], [("a film", 0), ("a film", 1)],
        ).called("keys", "a film", "labels"),
        "label_names": texts(("bad", "good")),
        "keys": texts(["a", "b"]).but(["a"]),
        "cached": flag(False),
    },
    "data.gloss": lambda: {"word": text("电影")},
    "data.load_corpus": lambda: {"name": choice("chinese"), "tokens": count(5).without(None).but(10**9)},
    "data.normalise": lambda: {"text": text()},
    "data.split_of": lambda: {"key": text()},
    "data.tokenise": lambda: {"text": text(), "language": choice("en")},
    "data.dataset": lambda: {"name": choice("glove")},
    "data.fetch": lambda: {"name": choice("glove"), "progress": free(None)},
    "data.is_fetched": lambda: {"name": choice("glove")},
    "data.verify": lambda: {"name": choice("glove")},
}  # fmt: skip

EMBEDDINGS: Table = {
    "embeddings.analogy_score": lambda: {"vectors": keyed(), "limit": count()},
    "embeddings.document_averages": lambda: {
        "documents": documents(SENTENCES, empty=False), "vectors": keyed(),
    },
    "embeddings.embedding_matrix": lambda: {
        "vocabulary": made(vocabulary()), "vectors": keyed(), "seed": seed(),
    },
    "embeddings.load_glove": lambda: {"limit": count(5, most=400_000)},
    "embeddings.load_vectors": lambda: {"name": choice("zh")},
    "embeddings.make_vectors": lambda: {
        "words": texts(WORDS[:2]).but(["a", "a"], ["a"]),
        "matrix": array(E[:2]).but(E[:3]),
        "counts": array([3, 1]).but([1], [1, -1], [1, 2.5]).without(None),
    },
    "embeddings.near_matches": lambda: {
        "word": text().but("", " "), "words": texts(WORDS, empty=False), "k": count(),
    },
    "embeddings.nearest": lambda: {
        "vectors": keyed(), "word": text("film").but("", "fillm"), "k": count(),
    },
    "embeddings.require_word": lambda: {
        "vectors": keyed(), "word": text("film").but("", " ", "fillm"),
    },
    "embeddings.save_vectors": lambda: {
        "path": free(Path(tempfile.mkdtemp()) / "own.npz").but(None, 3, ["a"]), "vectors": keyed(),
    },
    "embeddings.similarity_score": lambda: {"vectors": keyed(), "gold": choice("simlex999")},
    "embeddings.train_word2vec": lambda: {
        "sentences": documents(SENTENCES),
        "vector_size": count(4),
        "window": count(),
        "epochs": count(),
        "min_count": count().but(1000),
        "subwords": count(0, least=0),
        "sample": number(1e-3, -1),
        "seed": seed(),
        "progress": free(None),
    },
}  # fmt: skip

NAN = float("nan")
SCORES = E @ E.T
RANKED = np.array([[0, 1], [2, 3]])


def ranked():
    return array(RANKED).but(RANKED - 1, RANKED / 2)


def csls_parts():
    return {"scores": array(SCORES, empty=False), "k": count(2)}


def run_of(arm=True):
    found = {
        "n": count(20, least=0).but(10**6),
        "seed": seed(),
        "split": choice("test").but("train"),
    }
    return found | ({"arm": choice("Chinese only")} if arm else {}) | {"progress": free(None)}


MAPPING: Table = {
    "mapping.Bilingual.pairs": lambda: {
        "self": free(spaces()), "n": count(3).but(10**6).without(None), "seed": seed(),
    },
    "mapping.Bilingual.queries": lambda: {"self": free(spaces()), "split": choice("test")},
    "mapping.LinearMap": lambda: {
        "W": array(np.eye(3)), "b": array(np.zeros(3)).but(np.zeros(2)),
    },
    "mapping.LinearMap.__call__": lambda: {
        "self": free(bridge()), "E": array(E, empty=False, flat=False).but(E[:, :2]),
    },
    "mapping.between": lambda: {
        "chinese": made(chinese()), "normalisation": choice("unit"), "min_count": count(1, least=0),
    },
    "mapping.candidate_density": lambda: {
        "candidates": array(E).but(E[:, :2]).called("background"), "background": array(E).but(E[:, :2]),
        "k": count(), "chunk": count(),
    },
    "mapping.cosine_scores": lambda: {
        "queries": array(E, empty=False).but(E[:, :2]),
        "candidates": array(E, empty=False).but(E[:, :2]),
    },
    "mapping.csls": lambda: csls_parts() | {"density": array(E[:, 0]).but(E[:4, 0])},
    "mapping.evaluate": lambda: {
        "W": array(np.eye(3)).but(np.eye(2)),
        "source": keyed(),
        "target": keyed(),
        "dictionary": free({"film": "book"}).but(
            None, "film", ["film"], {}, {"film": 3}, {"film": []}, {"film": [3]}, {3: "film"},
            {"fillm": "film"}, {"film": "fillm"},
        ),
        "csls": flag(),
        "ks": free((1, 2)).but(None, 3, (), "1", (0,), (1.5,), (None,), (9,)).called("P@9"),
        "candidates": count(4),
        "background": count(4),
    },
    "mapping.evaluate_map": lambda: {
        "spaces": made(spaces()), "linear_map": made(bridge()), "split": choice("test"),
        "use_csls": flag(),
    },
    "mapping.fit": lambda: pairs() | {"method": choice("Procrustes"), "seed": seed()},
    "mapping.fit_gradient_descent": lambda: pairs() | {
        "steps": count(), "learning_rate": number(0.1, 0, -1), "seed": seed(),
        "progress": free(None), "device": choice("cpu"),
    },
    "mapping.fit_least_squares": lambda: pairs() | {"ridge": number(0.5, -1)},
    "mapping.fit_procrustes": pairs,
    "mapping.fit_transfer": lambda: pairs() | {
        "documents": array(E).but(E[:, :2]).called("labels"),
        "labels": labels([0, 1] * 3),
        "head": array(E[0]).but(E[0, :2]),
        "bias": number(0.5),
        "lam": share(),
        "steps": count(),
        "learning_rate": number(0.1, 0, -1),
        "seed": seed(),
        "progress": free(None),
        "device": choice("cpu"),
    },
    "mapping.hubness": lambda: {"ranked": ranked(), "candidates": count(4).but(3)},
    "mapping.load_bilingual": lambda: {
        "normalisation": choice("unit"), "min_count": count(20, least=0).but(10**9),
    },
    "mapping.map_vectors": lambda: {"spaces": made(spaces()), "linear_map": made(bridge())},
    "mapping.mean_of_top": csls_parts,
    "mapping.nearest_candidates": lambda: {
        "queries": array(E).but(E[:, :2]).called("candidates"), "candidates": array(E).but(E[:, :2]), "k": count(2),
        "density": array(E[:, 0]).but(E[:4, 0]).without(None),
    },
    "mapping.normalise_space": lambda: {"E": array(E).but(E * 0), "how": choice("unit+centre")},
    "mapping.planted_rotation": lambda: {
        "n": count(3), "d": count(2), "noise": number(0.1, -1), "seed": seed(),
        "words": count(3, least=0),
    },
    "mapping.precision_at_k": lambda: {
        "ranked": ranked(),
        "gold": free([{1}, {2}]).but(None, 3, "ab", [{1}], [1, 2], ["a", "b"], [None, {1}]),
        "ks": free((1, 2)).but(None, 3, (), "1", (0,), (1.5,), (None,), (9,)).called("P@9"),
    },
    "mapping.refine": lambda: {
        **pairs(), "source": array(E).but(E[:, :2]).called("E has"), "target": array(E).but(E[:, :2]),
        "rounds": count(1, least=0),
    },
    "mapping.top_candidates": csls_parts,
    "mapping.translate": lambda: {
        "spaces": made(spaces()), "linear_map": made(bridge()),
        "word": text(spaces().source.index_to_key[0]).but("", "no such"), "k": count(),
        "use_csls": flag(),
    },
    "mapping.unit_rows": lambda: {"E": array(E, empty=False)},
}  # fmt: skip

COMMON: Table = {
    "checks.as_array": lambda: {"value": free([1.0]), "what": free("x")},
    "checks.check": lambda: {
        "name": choice("embeddings.cosine_neighbours").but("embeddings.", "nothing.here"),
        "answer": free(...),
    },
    "checks.expect": lambda: {
        "value": free([1.0]), "right": free([1.0]), "what": free("x"), "mistakes": free({}),
    },
    "checks.judge": lambda: {
        "exercise": made(checks.Exercise("x", lambda answer: None)), "answer": free(...),
    },
    "checks.questions": lambda: {"lesson": choice("mapping")},
    "recorded.curves": lambda: {"strings": texts(["1 2", "3 4"], empty=False).but(["1 2", "3"], ["x"])},
    "recorded.grid": lambda: {"name": choice("few_shot")},
    "recorded.load": lambda: {"name": choice("few_shot").but("../few_shot", "/etc/passwd")},
    "recorded.select": lambda: {"name": choice("few_shot"), "n": number(50).but(3, [50])},
    "recorded.chosen_by_validation": lambda: {
        "rows": made(recorded.load("freeze_dial")).called("table"),
        "setting": choice("learning_rate").called("by must"),
        "metric": free("accuracy"),
    },
    "recorded.spread": lambda: {
        "table": made(recorded.load("few_shot")), "by": choice("n"), "metric": choice("accuracy"),
    },
    "scores.clear_after_correction": lambda: {
        "gains": array(E, empty=False, flat=False, nan=False).but(0.5, E[:, :1]), "rate": share(),
    },
    "scores.interval": lambda: {
        "values": array(E[0]).but([0.5]), "level": number(0.95, 0, 1, 95, -1),
    },
    "scores.is_clear": lambda: {"values": array(E[0]).but([0.5])},
    "scores.scores": lambda: {
        "labels": labels([0, 1, 1], None).called("predicted"), "predicted": labels([0, 1, 1], None),
    },
}  # fmt: skip

TABLE: Table = {**DATA, **EMBEDDINGS, **MAPPING, **COMMON, **LESSONS}

UNGUARDED = {
    "arguments.*": "the guards themselves, see their examples",
    "widgets.*": "controls check what they are set to, see test_explorers",
    "*.copy": "nothing to get wrong",
    **dict.fromkeys(("finetuning.check_encoded", "finetuning.labels_of"), "guards themselves"),
    **dict.fromkeys(
        ("checks.exercise", "checks.two", "checks.untouched", "checks.expect_set"),
        "for who writes exercises; what an answer returns is judged, not refused",
    ),
    "checks.Exercise": "made in the lessons' own exercises",
    "checks.Question": "read from the quizzes, whose schema is checked",
    "checks.Feedback": "made by check",
    "data.Dataset": "read from the manifest",
    "data.Source": "read from the manifest",
    "data.manifest": "reads ours",
    "data.content_digest": "takes what fetch takes",
    "data.cached_tokens": "for what is derived from fetched data",
    "data.contradiction": "words for an error",
    "data.read_*": "see test_datasets for damaged files",
    "data.load_labelled": "see test_own for tables of every kind of fault",
    **dict.fromkeys(
        ("checks.exercise", "checks.two", "checks.untouched", "checks.expect_set"),
        "for who writes exercises",
    ),
    "data.TextDataset": "made by build_dataset",
    "data.Vocabulary": "made by Vocabulary.build",
    "mapping.Bilingual": "made by load_bilingual and between",
    "mapping.Crossing*": "made by load_crossing",
    "mapping.classify_lstm": "takes what classify_averages takes, by the same check; minutes",
    "mapping.english_lstm": "see classify_lstm",
    "mapping.fit_lambda": "see classify_lstm, and fit_transfer for its λ",
    "mapping.train_english_classifier": "see test_mapping",
    "finetuning.Task": "made by build and encode_task",
    "finetuning.*_checkpoint": "the course's own files",
    "finetuning.checkpoint_path": "the course's own files",
    "finetuning.pretrain_encoder": "a run of the explorer CollapsingLoss",
    "finetuning.restricted": "checks by lowest_layers, once its block begins",
    "finetuning.start_from_frequencies": "a step of build",
    "models.*": "torch's modules: built by build, build_multitask and load_model",
    "multitask.MultitaskClassifier": "made by train",
    "multitask.Suite": "made by build_suite",
    "multitask.train_*ed": "runs of the explorers, on train_tasks",
    "multitask.train_together": "a run of the explorers, on train_tasks",
    **dict.fromkeys(
        (
            "multitask.balance_scores",
            "multitask.cosine_curves",
            "multitask.group_scores",
            "multitask.task_pairs",
        ),
        "read the recorded runs",
    ),
    "bert.BertMeanClassifier*": "of transformers",
    "bert.MeanPooling*": "of transformers",
    "bert.MaskedSource*": "made by tune",
    "bert.TextClassifier": "made by tune",
    "bert.Documents": "made by encode_documents",
    "bert.TaggedText": "made by tag_words",
    **dict.fromkeys(
        (
            "bert.*batches",
            "bert.*pairs",
            "bert.piece_frequencies",
            "bert.unigram_loss",
            "bert.new_bert",
            "bert.first_steps",
            "bert.pretrain*",
            "bert.entity_scores",
            "bert.layer_attention",
        ),
        "takes what encode_documents and load_model give; see test_bert",
    ),
    "training.train": "the loop beneath: the calls above it check",
    "training.History*": "made by train",
}
"""Calls in no table, and why."""


def test_every_public_call_is_in_a_table_with_all_that_it_takes():
    calls = {name: doors.parameters(function) for name, function in doors.public()}
    missing = [
        name
        for name, taken in calls.items()
        if taken and name not in TABLE and not any(fnmatch(name, item) for item in UNGUARDED)
    ]
    assert not missing
    for name, make in TABLE.items():
        takes = doors.parameters(doors.find(name))
        assert not set(takes) - set(make()) - {"device"}, name  # see test_devices


def test_there_are_many_bad_calls():
    assert sum(len(arg.bad) for make in TABLE.values() for arg in make().values()) >= 3_000


@pytest.mark.parametrize("name", TABLE)
def test_bad_arguments_are_told(name):
    function, call = doors.find(name), TABLE[name]()
    doors.run(function, call)
    complaints = [
        found
        for argument, arg in call.items()
        for value in arg.bad
        if (found := doors.complaint(function, call, argument, value))
    ]
    assert not complaints, "\n".join(complaints)


def test_the_table_can_fail():
    """What a call without guards would get."""

    def nodded(k):
        return k

    def careless(k):
        return "abc"[k]

    def curt(k):
        raise ValueError("bad k")

    call = {"k": count(1)}
    assert "silence" in doors.complaint(nodded, call, "k", -1)
    assert "not ours" in doors.complaint(careless, call, "k", "3")
    assert "not ours" in doors.complaint(curt, call, "k", -1)
