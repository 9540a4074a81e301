from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlcourse.data.text import Vocabulary, tokenise

WORDS = st.lists(st.sampled_from(["a", "b", "c", "zz"]), max_size=6)


def test_chinese_and_full_width():
    assert tokenise("我喜欢看电影，ＮＬＰ！", "zh") == ["我", "喜欢", "看", "电影", ",", "nlp", "!"]
    with pytest.raises(ValueError, match="language must be"):
        tokenise("x", "fr")


@given(st.lists(WORDS, min_size=1, max_size=5), st.integers(1, 8))
def test_encoding_pads_and_keeps_words(documents, length):
    vocabulary = Vocabulary.build(documents)
    ids, lengths = vocabulary.encode_batch(documents, length)
    assert ids.shape == (len(documents), length)
    for row, document in enumerate(documents):
        words = [vocabulary.words[number] for number in ids[row, : lengths[row]]]
        assert words == (document[:length] or ["<unk>"])
        assert not ids[row, lengths[row] :].any()


def test_vocabulary_limits():
    vocabulary = Vocabulary.build([["b", "a", "b", "c"]], min_count=1, max_words=2)
    assert vocabulary.words == ("<pad>", "<unk>", "b", "a")
    assert vocabulary.encode(["c", "a"]) == [1, 3]
    with pytest.raises(ValueError, match="max_length"):
        vocabulary.encode_batch([["a"]], 0)
    assert np.array_equal(vocabulary.encode_batch([[]], 3)[0], [[1, 0, 0]])


@pytest.mark.parametrize(
    "call",
    [
        lambda vocabulary, documents: Vocabulary.build(documents),
        lambda vocabulary, documents: Vocabulary.build(iter(documents)),
        lambda vocabulary, documents: vocabulary.encode_batch(documents, 4),
        lambda vocabulary, documents: vocabulary.encode_batch(np.array(documents), 4),
        lambda vocabulary, documents: vocabulary.encode(documents[0]),
    ],
)
def test_a_text_is_not_taken_for_its_letters(call):
    with pytest.raises(TypeError, match=r"words.*got one text|words.*is one text"):
        call(Vocabulary.build([["a"]]), ["the film was good", "so was the book"])
    with pytest.raises(TypeError, match="must be"):
        call(Vocabulary.build([["a"]]), [b"the film was good"])


def test_a_stream_of_documents_is_read_once():
    documents = [["a", "film"], ["a", "book"]]
    assert Vocabulary.build(iter(documents)) == Vocabulary.build(documents)


@pytest.mark.parametrize("name", ["min_count", "max_words"])
def test_counts_of_a_vocabulary(name):
    with pytest.raises(ValueError, match=f"{name} must be a whole number, at least 1; got -2"):
        Vocabulary.build([["a"]], **{name: -2})
    with pytest.raises(TypeError, match=f"{name} must be a whole number"):
        Vocabulary.build([["a"]], **{name: "5"})


def test_what_is_no_text_is_told():
    with pytest.raises(TypeError, match="text must be a text, got nan"):
        tokenise(float("nan"), "zh")
    with pytest.raises(ValueError, match="language must be one of"):
        tokenise("x", ["en"])
