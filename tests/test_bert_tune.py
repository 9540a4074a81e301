"""Fine-tuning of anybody's encoder: five families, methods, frozen states, heads, files, devices."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    masking_utils,
)

from tlcourse import bert
from tlcourse.bert import classifier, masking, tuning
from tlcourse.bert.models import config_of, mean_classifier, split_pairs
from tlcourse.finetuning.layers import body_of, freeze, layers_of
from tlcourse.training import Cancelled, Stream, predict

TEXTS = ["a warm film", "dull and long", "a funny cast", "two hours lost", "warm and funny", "lost"]
LABELS = ["good", "bad", "good", "bad", "good", "bad"]
PAIRS = [(one, other) for one in TEXTS[:3] for other in TEXTS[3:]]
SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
           "mask_token": "[MASK]"}  # fmt: skip
SHAPES = {
    "bert": {},
    "roberta": {},
    "xlm-roberta": {},
    "electra": {"embedding_size": 8},
    "distilbert": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32},
}


def _tokenizer(family):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    # RoBERTa's padding is number 1: its places are counted behind it.
    first = list(SPECIAL.values())
    first[0:2] = first[1::-1] if "roberta" in family else first[0:2]
    words = [*first, *sorted({word for text in TEXTS for word in text.split()})]
    plain = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    pair = "[CLS] $A [SEP] $B:1 [SEP]:1"
    ends = [(name, words.index(name)) for name in ("[CLS]", "[SEP]")]
    plain.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", pair, ends)
    names = ["input_ids", "attention_mask"]
    if family in ("bert", "electra"):
        names.insert(1, "token_type_ids")
    return PreTrainedTokenizerFast(tokenizer_object=plain, model_input_names=names, **SPECIAL)


@pytest.fixture(scope="module", params=bert.FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def place(family, tmp_path_factory):
    """A tiny checkpoint of the family with random weights."""
    folder = tmp_path_factory.mktemp(family)
    tokenizer = _tokenizer(family)
    common = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
              "intermediate_size": 32} if family != "distilbert" else {}  # fmt: skip
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), max_position_embeddings=40,
        pad_token_id=tokenizer.pad_token_id, initializer_range=0.2, **common, **SHAPES[family],
    )  # fmt: skip
    with Stream(0):
        AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def _tune(place, texts=TEXTS, labels=LABELS, **options):
    options = {"steps": 4, "learning_rate": 1e-2, "batch_size": 4, "device": "cpu"} | options
    return bert.tune(place, texts, labels, **options)


def _weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("pooling", classifier.POOLINGS)
def test_what_is_saved_is_loaded_by_transformers(place, pooling, tmp_path):
    clf = _tune(place, frozen=1, pooling=pooling, max_length=9)
    assert clf.save(tmp_path / "mine") == tmp_path / "mine"
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl", ".py"))]
    assert os.listdir(tmp_path) == ["mine"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "mine")
    assert tokenizer.model_max_length == 9
    inputs = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    mask = inputs["attention_mask"][..., None]
    mean = pooling == "mean"
    kind = AutoModelForTokenClassification if mean else AutoModelForSequenceClassification
    model, told = kind.from_pretrained(tmp_path / "mine", output_loading_info=True)
    assert not told["missing_keys"]
    assert model.config.id2label == {0: "bad", 1: "good"}
    with torch.no_grad():
        logits = model(**inputs).logits
    logits = (logits * mask).sum(1) / mask.sum(1) if mean else logits
    assert logits.softmax(-1).numpy() == pytest.approx(clf.probabilities(TEXTS), abs=1e-6)
    again = bert.load_classifier(tmp_path / "mine", device="cpu")
    assert again.label_names == ("bad", "good")
    assert again.max_length == 9
    assert again.probabilities(TEXTS) == pytest.approx(clf.probabilities(TEXTS), abs=1e-6)


@pytest.mark.parametrize("method", bert.TUNING_METHODS)
@pytest.mark.parametrize("pooling", classifier.POOLINGS)
def test_methods_train_what_they_say_in_each_family(place, method, pooling, tmp_path):
    clf = _tune(place, method=method, pooling=pooling)
    before = bert.load_model(AutoModel, place)
    clf.save(tmp_path / "mine")
    after = bert.load_model(AutoModel, str(tmp_path / "mine"))
    moved = {
        layer: any(
            not torch.equal(one, other)
            for one, other in zip(old.parameters(), new.parameters(), strict=True)
        )
        for (layer, old), new in zip(
            layers_of(before).items(), layers_of(after).values(), strict=True
        )
    }
    trained = {"full": [True] * 4, "LoRA": [False, True, True, True], "BitFit": [True] * 4,
               "last layer": [False] * 3 + [True], "head": [False] * 4}  # fmt: skip
    assert list(moved.values()) == trained[method]
    inside = [n for n, value in body_of(clf.model).named_parameters() if value.requires_grad]
    inside = [name for name in inside if not name.startswith("pooler")]
    if method == "LoRA":
        assert len(inside) == 3 * 2 * 2
        assert all("lora" in name for name in inside)
    if method == "BitFit":
        assert all(name.endswith("bias") for name in inside)
    again = bert.load_classifier(tmp_path / "mine", device="cpu")
    assert again.probabilities(TEXTS) == pytest.approx(clf.probabilities(TEXTS), abs=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"frozen": 1},
        {"frozen": 2, "factor": 2.6},
        {"frozen": 3},
        {"method": "last layer", "l2_sp": 0.1, "pooling": "mean"},
        {"frozen": 1, "gradual": True, "l2_sp": 0.1},
        {"frozen": 2, "source": TEXTS, "lam": 0.4},
        {"frozen": 1, "texts": PAIRS, "labels": [0, 1, 1] * 3},
    ],
)
def test_frozen_layers_run_once_and_the_losses_are_the_same(place, options, monkeypatch):
    read = []

    def spy(model, inputs, *args, **settings):
        read.append("inputs_embeds" in inputs)
        return tuning.fine_tune(model, inputs, *args, **settings)

    monkeypatch.setattr(classifier, "fine_tune", spy)
    cached = _tune(place, **options, steps=8)
    monkeypatch.setattr(classifier, "_CACHE", 0)
    plain = _tune(place, **options, steps=8)
    assert read == [True, False]
    assert cached.history.loss == pytest.approx(plain.history.loss, abs=1e-4)
    assert cached.history.parts.keys() == plain.history.parts.keys()
    texts = options.get("texts", TEXTS)
    assert cached.probabilities(texts) == pytest.approx(plain.probabilities(texts), abs=1e-4)
    assert plain.history.loss[0] != plain.history.loss[-1]


def test_what_was_frozen_before_stays_frozen(place):
    for method in ("full", "LoRA", "BitFit"):
        model = bert.load_model(AutoModelForSequenceClassification, place)
        freeze(model, ("layer 2",))
        low = _weights(layers_of(model)["layer 2"])
        trained = bert.choose_method(model, method)
        inputs = bert.encode(bert.load_tokenizer(place), TEXTS, 12)
        bert.fine_tune(
            trained, inputs, [0, 1] * 3, steps=4, learning_rate=1e-2, gradual=True, device="cpu"
        )
        after = layers_of(trained)["layer 2"]
        assert not any(value.requires_grad for value in after.parameters()), method
        assert all(torch.equal(value, low[name]) for name, value in _weights(after).items())
        assert any(value.requires_grad for value in layers_of(trained)["layer 1"].parameters()), (
            "and what trained before the run trains behind it"
        )


def test_gradual_unfreezing_goes_from_the_top(place):
    """The lowest layer trains in the last fifth only: of 10 steps, after the eighth."""
    start, moved = {}, []

    def check(clf):
        layers = layers_of(clf.model)
        start.update({} if start else {name: _weights(layer) for name, layer in layers.items()})
        moved.append([
            name for name, layer in layers.items()
            if any(not torch.equal(value, start[name][n]) for n, value in _weights(layer).items())
        ])  # fmt: skip
        return {}

    _tune(place, steps=10, gradual=True, warmup=0.0, check_at=(0, 2, 4, 6, 8, 10), on_check=check)
    order = ["embeddings", "layer 1", "layer 2", "layer 3"]
    assert moved == [[], [], order[3:], order[2:], order[1:], order]


def test_l2_sp_keeps_the_encoder_near_its_start(place):
    start = _weights(bert.load_model(AutoModel, place))

    def distance(strength):
        body = body_of(_tune(place, steps=10, l2_sp=strength, weight_decay=0.0).model)
        return sum(
            float((value - start[name]).square().sum())
            for name, value in body.named_parameters()
            if name in start
        )

    assert distance(10.0) < 0.5 * distance(0.0)


def test_rates_fall_layer_by_layer(place):
    start = layers_of(bert.load_model(AutoModel, place))
    clf = _tune(place, steps=1, warmup=0.0, factor=100.0, weight_decay=0.0)
    steps = [
        max(
            float((value - old).abs().max())
            for value, old in zip(layer.parameters(), start[name].parameters(), strict=True)
        )
        for name, layer in layers_of(clf.model).items()
    ]
    assert steps == pytest.approx([1e-10, 1e-8, 1e-6, 1e-4], rel=0.1, abs=1e-8)


def test_the_source_trains_the_shared_encoder_and_its_loss_falls(place):
    options = {"source": TEXTS * 4, "steps": 100, "batch_size": 24, "learning_rate": 1e-2}
    parts = _tune(place, **options, lam=0.5).history.parts
    assert set(parts) == {"pre", "fine"}
    assert np.mean(parts["pre"][-10:]) < 0.8 * np.mean(parts["pre"][:10])
    alone = _tune(place, **options, lam=1.0)
    assert set(alone.history.parts) == {"pre"}
    both = _tune(place, **options, lam=0.0)
    assert both.history.loss == _tune(place, **{**options, "source": None}).history.loss
    with pytest.raises(ValueError, match=r"lam = 0\.5 needs source"):
        _tune(place, lam=0.5)


def test_the_mixture_is_the_formula(place):
    history = _tune(place, source=TEXTS, lam=0.3, steps=3).history
    pre, fine = (np.array(history.parts[name]) for name in ("pre", "fine"))
    assert history.loss == pytest.approx(0.3 * pre + 0.7 * fine, abs=1e-5)
    assert np.abs(pre - fine).min() > 1e-3


def test_pairs_are_told_apart_where_the_family_does(place, family):
    tokenizer = bert.load_tokenizer(place)
    inputs = bert.encode(tokenizer, PAIRS, 20)
    assert ("token_type_ids" in inputs) == (family in ("bert", "electra"))
    if "token_type_ids" in inputs:
        assert set(inputs["token_type_ids"][0].tolist()) == {0, 1}
    clf = _tune(place, PAIRS, [0, 1, 1] * 3, max_length=20)
    turned = [(other, one) for one, other in PAIRS]
    assert np.abs(clf.probabilities(PAIRS) - clf.probabilities(turned)).max() > 1e-4
    with pytest.raises(TypeError, match="pairs of texts; number 1"):
        _tune(place, [PAIRS[0], ("only one",)], [0, 1])
    with pytest.raises(TypeError, match="number 1 is"):
        _tune(place, ["a text", PAIRS[0]], [0, 1])


def test_labels_are_texts_or_whole_numbers_and_come_back_as_they_were(place, tmp_path):
    for labels in ([3, 1, 3, 1, 3, 1], np.array([3, 1] * 3), torch.tensor([3, 1] * 3)):
        clf = _tune(place, labels=labels)
        assert clf.label_names == (1, 3)
        assert set(clf.predict(TEXTS).tolist()) <= {1, 3}
        assert set(clf.scores(TEXTS, labels)) == {"accuracy", "macro_f1"}
    clf.save(tmp_path / "mine")
    assert bert.load_classifier(tmp_path / "mine", device="cpu").label_names == (1, 3)
    for labels, fault, words in (
        ([1, "1"] * 3, TypeError, "all be texts or all whole numbers"),
        ([0.5] * 6, TypeError, "all be texts or all whole numbers"),
        ("badgood", TypeError, "labels must be a sequence"),
        ([1] * 6, ValueError, "two classes or more"),
        ([0, 1], ValueError, "labels must have 6 entries, one a text; got 2"),
    ):
        with pytest.raises(fault, match=words):
            _tune(place, labels=labels)
    with pytest.raises(ValueError, match=r"labels must be of \(1, 3\), got 7"):
        clf.scores(TEXTS, [7] * 6)
    with pytest.raises(ValueError, match="6 entries, one a text; got 2"):
        clf.scores(TEXTS, [1, 3])


def test_a_run_can_be_watched_and_stopped(place):
    shares = []
    clf = _tune(
        place,
        progress=shares.append,
        check_at=(0, 4),
        on_check=lambda clf: clf.scores(TEXTS, LABELS),
    )
    assert shares == [0.25, 0.5, 0.75, 1.0]
    assert [check["step"] for check in clf.history.checks] == [0, 4]
    assert clf.history.checks[1]["accuracy"] == clf.scores(TEXTS, LABELS)["accuracy"]

    def stop(share):
        raise Cancelled

    with pytest.raises(Cancelled):
        _tune(place, progress=stop)


def test_the_seed_decides_all(place):
    runs = [_tune(place, method="LoRA", seed=seed).history.loss for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_save_replaces_a_checkpoint_and_nothing_else(place, tmp_path, monkeypatch):
    clf = _tune(place)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("mine")
    with pytest.raises(ValueError, match="folder must be new or hold a checkpoint"):
        clf.save(tmp_path / "notes")
    clf.save(tmp_path / "mine")
    other = _tune(place, seed=5)
    monkeypatch.setattr(type(other.tokenizer), "save_pretrained", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        other.save(tmp_path / "mine")
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path)) == ["mine", "notes"]
    kept = bert.load_classifier(tmp_path / "mine", device="cpu")
    assert kept.probabilities(TEXTS) == pytest.approx(clf.probabilities(TEXTS), abs=1e-6)
    other.save(tmp_path / "mine")
    kept = bert.load_classifier(tmp_path / "mine", device="cpu")
    assert kept.probabilities(TEXTS) == pytest.approx(other.probabilities(TEXTS), abs=1e-6)


def test_as_many_pieces_are_read_as_the_model_has_places_for(place, family):
    long = ["warm " * 60, "dull " * 60]
    clf = _tune(place, long, [0, 1], max_length=500)
    assert clf.max_length == (38 if "roberta" in family else 40)
    inputs = bert.encode(clf.tokenizer, long, clf.max_length + 1)
    with pytest.raises(ValueError, match=f"max_length={clf.max_length}"):
        predict(clf.model, inputs)
    inputs = bert.encode(clf.tokenizer, TEXTS, 9)
    with pytest.raises(ValueError, match="tokenizer of the model's checkpoint"):
        predict(clf.model, {**inputs, "input_ids": inputs["input_ids"] + 500})


def test_inputs_labels_and_model_meet_on_one_device(place, monkeypatch):
    """On the meta device nothing is computed, and what stayed behind on the CPU is seen."""
    seen = []

    def once(loss_of, optimizer, **options):
        loss = loss_of(0)
        loss = loss[0] if isinstance(loss, tuple) else loss
        seen.extend(group["params"][0].device for group in optimizer.param_groups)
        seen.extend([loss.device, torch.device(options["device"])])
        return tuning.History()

    def watch(module, args, given):
        seen.extend(value.device for value in given.values() if torch.is_tensor(value))

    monkeypatch.setattr(tuning, "train", once)
    monkeypatch.setattr(torch.Tensor, "item", lambda self: 0.0)
    # It looks whether there is any padding, and on meta nothing is there to look at.
    monkeypatch.setattr(masking_utils, "_ignore_bidirectional_mask_sdpa", lambda *_: False)
    for kind in (
        AutoModelForSequenceClassification,
        mean_classifier(config_of(place)["model_type"]),
    ):
        model = bert.load_model(kind, place)
        tokenizer = bert.load_tokenizer(place)
        inputs = bert.encode(tokenizer, TEXTS, 12)
        head = bert.load_model(AutoModelForMaskedLM, place)
        source = bert.MaskedSource(model, head, tokenizer, inputs)
        for part in (model, head):
            part.register_forward_pre_hook(watch, with_kwargs=True)
        bert.fine_tune(
            model, inputs, [0, 1] * 3, steps=1, learning_rate=1e-3, source=source, lam=0.5,
            l2_sp=0.1, device="meta",
        )  # fmt: skip
        assert len(seen) > 8
        assert {device.type for device in seen} == {"meta"}
        seen.clear()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("pooling", classifier.POOLINGS)
def test_on_a_cuda_device(place, pooling, tmp_path):
    options = {"source": TEXTS, "lam": 0.3, "l2_sp": 0.1, "pooling": pooling}
    for more in ({"frozen": 2}, {"gradual": True}, {"factor": 2.6}):
        clf = _tune(place, **options, **more, device="auto")
        assert {value.device.type for value in clf.model.parameters()} == {"cuda"}
        assert np.isfinite(clf.probabilities(TEXTS)).all()
    clf.save(tmp_path / "mine")
    other = bert.load_classifier(tmp_path / "mine", device="cpu")
    assert other.probabilities(TEXTS) == pytest.approx(clf.probabilities(TEXTS), abs=1e-4)


def test_names_and_choices_are_checked(place, tmp_path):
    for options, words in (
        ({"method": "magic"}, "method must be one of"),
        ({"pooling": "max"}, "pooling must be one of"),
        ({"frozen": 9}, "frozen must be a whole number, at least 0, at most 3; got 9"),
        ({"frozen": 2, "method": "LoRA"}, "frozen must be 0 with the method"),
        ({"max_length": 1}, "max_length must be a whole number, at least 3"),
        ({"l2_sp": -1.0}, "l2_sp must be at least 0"),
        ({"factor": 0.0}, "factor must be above 0"),
        ({"lam": 2.0}, "lam must lie between 0 and 1"),
        ({"steps": 0}, "steps must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"texts": [], "labels": []}, "texts needs at least 1 text"),
    ):
        with pytest.raises(ValueError, match=words):
            _tune(place, **options)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    (tmp_path / "vocab.txt").write_text("\n".join([*masking.SPECIAL, "a"]))
    with pytest.raises(ValueError, match="it holds one of type 'gpt2'"):
        bert.load_model(AutoModel, str(tmp_path))
    with pytest.raises(TypeError, match="put it into a list"):
        split_pairs("texts", "one text")
    model = bert.load_model(AutoModelForSequenceClassification, place)
    for some, given, words in (
        (model, TEXTS, "inputs must be a mapping"),
        ("minilm", {}, "model must be"),
    ):
        with pytest.raises(TypeError, match=words):
            bert.fine_tune(some, given, [0, 1] * 3, steps=1, learning_rate=1e-3)
