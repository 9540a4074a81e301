from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tlcourse import embeddings
from tlcourse.data.text import Vocabulary


def test_saved_vectors_come_back(tmp_path):
    vectors = embeddings.make_vectors(["猫", "dog"], np.eye(2), [7, 3])
    path = tmp_path / "own.npz"
    embeddings.save_vectors(path, vectors)
    again = embeddings.load_vectors(str(path))
    assert again.index_to_key == ["猫", "dog"]
    assert np.array_equal(again.vectors, np.eye(2))
    assert again.get_vecattr("猫", "count") == 7
    with pytest.raises(FileNotFoundError, match="there are"):
        embeddings.load_vectors("klingon")
    with pytest.raises(ValueError, match="matrix must have 2 rows"):
        embeddings.make_vectors(["a", "b"], np.eye(3))


def test_glove_is_what_it_is():
    glove = embeddings.load_glove()
    assert glove.vectors.shape == (50_000, 50)
    assert embeddings.nearest(glove, "paris", 3)[0][1] > 0.7
    score = embeddings.similarity_score(glove)
    assert score["rho"] == pytest.approx(0.525, abs=0.005)
    assert score["coverage"] == pytest.approx(0.986, abs=0.002)


def test_spearman_agrees_with_scipy_by_hand():
    from gensim.test.utils import datapath
    from scipy.stats import spearmanr

    glove = embeddings.load_glove()
    ours, theirs = [], []
    for line in Path(datapath("wordsim353.tsv")).read_text(encoding="utf8").splitlines():
        if not line.startswith("#"):
            a, b, value = line.split("\t")
            if a.lower() in glove and b.lower() in glove:
                u, v = glove[a.lower()], glove[b.lower()]
                ours.append(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
                theirs.append(float(value))
    score = embeddings.similarity_score(glove)
    assert score["rho"] == pytest.approx(spearmanr(ours, theirs).statistic, abs=1e-6)
    assert score["coverage"] == pytest.approx(len(ours) / 353)


def test_unknown_words_get_near_matches():
    glove = embeddings.load_glove()
    with pytest.raises(KeyError, match="movie"):
        embeddings.nearest(glove, "moviee")
    with pytest.raises(KeyError, match="酒店"):
        embeddings.nearest(embeddings.load_vectors("zh"), "酒店店")
    for wrong in ("simlex", None, ["wordsim353"]):
        with pytest.raises(ValueError, match="gold must be one of"):
            embeddings.similarity_score(glove, wrong)


def test_embedding_matrix():
    vectors = embeddings.make_vectors(["film", "book"], np.arange(6.0).reshape(2, 3))
    vocabulary = Vocabulary.build([["film", "zxq", "book"]])
    matrix, known = embeddings.embedding_matrix(vocabulary, vectors)
    assert matrix.shape == (len(vocabulary), 3)
    assert not matrix[0].any()
    for row, word in enumerate(vocabulary.words):
        assert known[row] == (word in vectors)
        if known[row]:
            assert np.array_equal(matrix[row], vectors[word])
    assert matrix[vocabulary.index["zxq"]].any()


def test_document_averages():
    vectors = embeddings.make_vectors(["a", "b"], np.array([[1.0, 0.0], [0.0, 3.0]]))
    found = embeddings.document_averages([["a", "b", "?"], ["?"], []], vectors)
    assert np.allclose(found, [[0.5, 1.5], [0, 0], [0, 0]])
    empty = embeddings.document_averages([], vectors)
    assert empty.shape == (0, 2)
    assert empty.dtype == np.float32


def test_texts_in_the_place_of_words_are_refused():
    vectors = embeddings.make_vectors(["a", "b"], np.eye(2))
    for documents in (["a b"], "a b", iter(["a b"]), np.array(["a b"])):
        with pytest.raises(TypeError, match="documents must be sequences of words"):
            embeddings.document_averages(documents, vectors)


@pytest.fixture
def shipped(tmp_path):
    path = tmp_path / "own.npz"
    embeddings.save_vectors(path, embeddings.make_vectors(["猫", "dog"], np.eye(2), [7, 3]))
    return lambda: embeddings.load_vectors(path)


@pytest.mark.parametrize("source", ["file", "glove"])
def test_a_change_does_not_reach_the_next_caller(source, shipped):
    load = shipped if source == "file" else lambda: embeddings.load_glove(100)
    mine = load()
    words, before = list(mine.index_to_key), mine.vectors.copy()
    with pytest.raises(ValueError, match="read-only"):
        mine.vectors[0] = 9
    with pytest.raises(ValueError, match="read-only"):
        mine.norms[0] = 9
    mine.index_to_key[0] = "changed"
    mine.key_to_index.clear()
    mine = load()
    mine.add_vector("new", np.ones(mine.vector_size))
    if source == "file":
        mine.set_vecattr("猫", "count", 1)
    mine.vectors = np.zeros_like(mine.vectors)
    again = load()
    assert again.index_to_key == words
    assert list(again.key_to_index) == words
    assert np.array_equal(again.vectors, before)
    if source == "file":
        assert again.get_vecattr("猫", "count") == 7


def test_shared_vectors_still_answer():
    glove = embeddings.load_glove(5_000)
    plain = embeddings.make_vectors(glove.index_to_key, glove.vectors)
    found, wanted = (dict(vectors.most_similar("paris", topn=5)) for vectors in (glove, plain))
    assert found == pytest.approx(wanted, abs=1e-4)
    assert glove.similarity("man", "city") == pytest.approx(
        plain.similarity("man", "city"), abs=1e-4
    )
    found, wanted = (embeddings.analogy_score(vectors, 1_000) for vectors in (glove, plain))
    assert found == pytest.approx(wanted, abs=0.01)


def test_a_file_that_was_written_again_is_read_again(tmp_path):
    path = tmp_path / "own.npz"
    for scale in (1, 2):
        vectors = embeddings.make_vectors(["a", "b"], scale * np.eye(2), [1, 1])
        embeddings.save_vectors(path, vectors)
        assert embeddings.load_vectors(path).vectors[0, 0] == scale


def test_damaged_vectors_are_named(tmp_path, shipped):
    shipped()
    path = tmp_path / "own.npz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"own\.npz is damaged"):
        shipped()


@pytest.mark.parametrize(
    ("words", "matrix", "counts", "error", "message"),
    [
        (["a", "b"], [[1.0, np.nan], [0, 1]], None, ValueError, "matrix must be finite"),
        (["a", "b"], [1.0, 2.0], None, ValueError, r"shape \(V, d\), got shape \(2,\)"),
        (["a", "b"], [["x"], ["y"]], None, TypeError, "matrix must be an array of numbers"),
        ("ab", np.eye(2), None, TypeError, "words must be a sequence of texts"),
        (["a", 5], np.eye(2), None, TypeError, "number 1 is 5"),
        (["a", "a"], np.eye(2), None, ValueError, r"each stand there once.*\['a'\]"),
        (["a", "b"], np.eye(2), [1], ValueError, r"counts must be .* shape \(2\)"),
    ],
)
def test_vectors_that_cannot_be(words, matrix, counts, error, message):
    with pytest.raises(error, match=message):
        embeddings.make_vectors(words, matrix, counts)


def test_vectors_that_cannot_be_saved(tmp_path):
    for words, scale, message in ((["a\nb", "c"], 1, "one line"), (["a", "b"], 1e5, "65,504")):
        vectors = embeddings.make_vectors(words, scale * np.eye(2), [1, 1])
        with pytest.raises(ValueError, match=message):
            embeddings.save_vectors(tmp_path / "own.npz", vectors)
    vectors.vectors[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        embeddings.save_vectors(tmp_path / "own.npz", vectors)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["", "  "])
def test_no_word_is_told_apart_from_an_unknown_one(word):
    vectors = embeddings.make_vectors(["cat", "dog"], np.eye(2))
    with pytest.raises(ValueError, match="word must not be empty"):
        embeddings.nearest(vectors, word)
    with pytest.raises(TypeError, match="word must be a text, got 5"):
        embeddings.nearest(vectors, 5)
    with pytest.raises(KeyError, match="did you mean cat"):
        embeddings.nearest(vectors, " cat")


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda vectors, n: embeddings.nearest(vectors, "a", n), "k"),
        (lambda vectors, n: embeddings.near_matches("a", ["a", "b"], n), "k"),
        (lambda vectors, n: embeddings.load_glove(n), "limit"),
        (lambda vectors, n: embeddings.analogy_score(vectors, n), "limit"),
    ],
)
def test_counts(call, name):
    vectors = embeddings.make_vectors(["a", "b"], np.eye(2))
    for n in (0, -5):
        with pytest.raises(ValueError, match=f"^{name} must be a whole number, at least 1"):
            call(vectors, n)
    for n in (2.5, "3", None):
        with pytest.raises(TypeError, match=f"^{name} must be a whole number, at least 1"):
            call(vectors, n)
    if name == "limit":
        assert len(embeddings.load_glove(7)) == 7


def test_near_matches_of_what_is_no_list():
    with pytest.raises(TypeError, match="words must be a sequence of texts"):
        embeddings.near_matches("cat", "cats and dogs")
    with pytest.raises(TypeError, match="word must be a text"):
        embeddings.near_matches(None, ["cat"])
    assert embeddings.near_matches("cat", []) == []


def test_scores_of_vectors_that_know_no_pair():
    vectors = embeddings.make_vectors(["zxq", "qxz"], np.eye(2))
    score = embeddings.similarity_score(vectors)
    assert np.isnan(score["rho"])
    assert score["coverage"] == 0
    score = embeddings.analogy_score(vectors)
    assert score["coverage"] == 0
    assert np.isnan(score["accuracy"])


@pytest.mark.parametrize(
    "call",
    [
        embeddings.similarity_score,
        embeddings.analogy_score,
        lambda vectors: embeddings.nearest(vectors, "a"),
        lambda vectors: embeddings.document_averages([["a"]], vectors),
        lambda vectors: embeddings.embedding_matrix(Vocabulary.build([["a"]]), vectors),
        lambda vectors: embeddings.save_vectors("own.npz", vectors),
    ],
)
def test_what_are_no_vectors(call):
    class Model:
        wv = None

    with pytest.raises(TypeError, match=r"vectors must be KeyedVectors.*model\.wv"):
        call(Model())
    with pytest.raises(TypeError, match=r"vectors must be KeyedVectors; got ndarray of shape"):
        call(np.eye(2))


def test_what_is_no_vocabulary():
    vectors = embeddings.make_vectors(["a"], np.eye(1))
    with pytest.raises(TypeError, match=r"vocabulary must be made by Vocabulary\.build; got \['a"):
        embeddings.embedding_matrix(["a"], vectors)
