from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tlcourse import embeddings
from tlcourse.text import Vocabulary


def test_saved_vectors_come_back(tmp_path):
    vectors = embeddings.make_vectors(["猫", "dog"], np.eye(2), [7, 3])
    path = tmp_path / "own.npz"
    embeddings.save_vectors(path, vectors)
    again = embeddings.load_vectors(str(path))
    assert again.index_to_key == ["猫", "dog"]
    assert np.array_equal(again.vectors, np.eye(2))
    assert again.get_vecattr("猫", "count") == 7
    with pytest.raises(FileNotFoundError, match="ships"):
        embeddings.load_vectors("klingon")
    with pytest.raises(ValueError, match="2 words"):
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
    with pytest.raises(KeyError, match="no gold set"):
        embeddings.similarity_score(glove, "simlex")


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
