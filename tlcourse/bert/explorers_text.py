"""Lesson 5's explorers of typed text: fill the mask, and where each piece looks."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from transformers import BertForPreTraining, BertModel

from tlcourse.bert.inspection import attention_maps, fill_mask
from tlcourse.bert.models import load_model, load_tokenizer
from tlcourse.data.dictionary import gloss
from tlcourse.widgets import figures
from tlcourse.widgets.controls import choice, field, menu
from tlcourse.widgets.explorer import Explorer, Result
from tlcourse.widgets.snippets import snippet


def _labels(pieces: Any) -> list[tuple[str, dict[str, Any]]]:
    """Pieces as labels with their fonts; a gloss only where no font has Chinese characters.

    A single character's gloss often misleads.
    """
    glossed = not figures.cjk_font()
    return [figures.word_label(piece, gloss(piece) if glossed else "") for piece in pieces]


def _dress(ticks: list[Any], labels: list[tuple[str, dict[str, Any]]]) -> None:
    """Give tick labels the fonts that their characters need."""
    for tick, (_, font) in zip(ticks, labels, strict=True):
        tick.set(**font)


_tokenizer = lru_cache(maxsize=2)(load_tokenizer)


@lru_cache(maxsize=3)
def _model(kind: Any, name: str, **options: Any) -> Any:
    return load_model(kind, name, **options)


class FillMask(Explorer):
    """Type a Chinese sentence with blanks; the own BERT fills them in."""

    name = "fill the mask"
    size = (8.0, 2.6)

    def __init__(self, **settings: object) -> None:
        controls = {
            "text": field("sentence with [MASK] or _", "这本书的内_很丰富。"),
            "top": choice("guesses shown", (3, 5, 8), 5),
        }
        super().__init__(controls, **settings)

    def compute(self, text: str, top: int) -> Result:
        """The likeliest characters at each blank."""
        if text.strip() and not any("\u4e00" <= character <= "\u9fff" for character in text):
            raise ValueError("the own BERT reads Chinese only; type Chinese characters and blanks")
        found = fill_mask(_model(BertForPreTraining, "bert-zh"), _tokenizer("bert-zh"), text, top)
        if len(found) > 3:
            raise ValueError(f"the text has {len(found)} blanks; at most 3 are shown")
        return {"found": found}

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Bars for each blank."""
        panels = figure.subplots(1, len(result["found"]), squeeze=False)[0]
        figure.subplots_adjust(left=0.08, right=0.97, bottom=0.05, top=0.88, wspace=0.3)
        for number, (axes, guesses) in enumerate(zip(panels, result["found"], strict=True), 1):
            figures.tidy(axes, f"blank {number}: probability")
            (pieces, values), places = zip(*guesses, strict=True), range(len(guesses))
            bars, labels = (
                axes.barh(places, values, color=figures.COLOURS[0], height=0.7),
                _labels(pieces),
            )
            axes.bar_label(bars, [f" {value:.2f}" for value in values], fontsize=8)
            axes.set_yticks(places, [text for text, _ in labels])
            _dress(axes.get_yticklabels(), labels)
            axes.set(xlim=(0, max(1.25 * max(values), 0.01)), xticks=[])
            axes.invert_yaxis()

    def describe(self, result: Result, live: Result | None) -> str:
        """The guesses in words."""
        parts = [
            f"blank {number}: " + ", ".join(f"{piece} {value:.2f}" for piece, value in guesses)
            for number, guesses in enumerate(result["found"], start=1)
        ]
        return f"The own BERT's likeliest characters: {'; '.join(parts)}."


class _Known(NamedTuple):
    """A model to look into, and a sentence that it can read."""

    name: str
    layers: int
    heads: int
    sentence: str

    def offers(self) -> dict[str, list[Any]]:
        """What the controls offer."""
        return {
            "layer": [*range(1, self.layers + 1)],
            "head": ["mean", *range(1, self.heads + 1)],
        }


class AttentionViewer(Explorer):
    """Type a sentence and see where each piece looks, layer by layer and head by head."""

    name = "attention viewer"
    size = (8.0, 4.6)
    models: ClassVar = {
        "MiniLM (English)": _Known("minilm", 6, 12, "The plot was thin, but the actors saved it."),
        "own BERT (Chinese)": _Known("bert-zh", 4, 4, "这本书的内容很好，但是送货太慢了。"),
    }

    def __init__(self, **settings: object) -> None:
        name, first = next(iter(self.models.items()))
        controls = {
            "model": menu("model", tuple(self.models), name),
            "text": field("sentence", first.sentence),
            "layer": choice("layer", first.offers()["layer"], 1),
            "head": choice("attention head", first.offers()["head"], "mean"),
        }
        controls["model"].observe(self._follow_model, "value")
        super().__init__(controls, **settings)

    def _follow_model(self, change: Any) -> None:
        """Offer what the model has; its own sentence, unless the reader typed one."""
        model, text = self.models[change["new"]], self.controls["text"]
        for name, values in model.offers().items():
            value = self.controls[name].value
            self.relimit(name, values, value if value in values else values[0])
        if any(text.value == known.sentence for known in self.models.values()):
            with self.hushed():
                text.value = model.sentence

    def compute(self, model: str, text: str, layer: int, head: str | int) -> Result:
        """The chosen weights (length, length) and the pieces."""
        known = self.models[model]
        tokenizer = _tokenizer(known.name)
        reader = _model(BertModel, known.name, attn_implementation="eager")
        pieces, weights = attention_maps(reader, tokenizer, text)
        if layer > known.layers or (head != "mean" and int(head) > known.heads):
            raise ValueError(f"{model} has {known.layers} layers with {known.heads} heads each")
        chosen = weights[layer - 1]
        return {
            "pieces": pieces, "layer": layer, "head": head,
            "weights": chosen.mean(0) if head == "mean" else chosen[int(head) - 1],
            "unread": len(tokenizer.tokenize(text)) + 2 - len(pieces),
        }  # fmt: skip

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """The weights as a matrix: rows look at columns."""
        axes, labels = figure.subplots(), _labels(result["pieces"])
        figure.subplots_adjust(left=0.14, right=0.96, bottom=0.2, top=0.92)
        which = "mean of the heads" if result["head"] == "mean" else f"head {result['head']}"
        axes.set_title(
            f"layer {result['layer']}, {which}: a row looks at the columns", fontsize=10, loc="left"
        )
        # Shades by the root: a mean of many heads has no large weights.
        shades = PowerNorm(0.5, 0, 1)
        shown = axes.imshow(result["weights"], cmap="Blues", norm=shades, aspect="auto")
        places, texts = range(len(labels)), [text for text, _ in labels]
        axes.set_xticks(places, texts, fontsize=8, rotation=60, ha="right", rotation_mode="anchor")
        row = axes.get_window_extent().height / len(texts) * 72 / figure.dpi  # in points
        axes.set_yticks(places, texts, fontsize=min(8.0, 0.85 * row))
        _dress(axes.get_xticklabels(), labels)
        _dress(axes.get_yticklabels(), labels)
        figure.colorbar(shown, ax=axes, fraction=0.03, pad=0.02).ax.tick_params(labelsize=8)

    def describe(self, result: Result, live: Result | None) -> str:
        """The strongest link between words, and how much goes to the special pieces."""
        pieces, weights = result["pieces"], result["weights"]
        special = np.array([piece in {"[CLS]", "[SEP]"} for piece in pieces])
        which = "all heads" if result["head"] == "mean" else f"head {result['head']}"
        text = (
            f"Layer {result['layer']}, {which}: {len(pieces)} pieces give "
            f"{weights[:, special].sum(1).mean():.2f} of their attention to [CLS] and [SEP]"
        )
        if not special.all():
            words = np.where(special[:, None] | special[None, :], -1.0, weights)
            row, column = np.unravel_index(words.argmax(), words.shape)
            text += "; the strongest link between other pieces is "
            text += f"{pieces[row]} → {pieces[column]}, {words.max():.2f}"
        text += "."
        if result["unread"]:
            text += f" The last {result['unread']} pieces of the sentence are left out."
        if "[UNK]" in pieces:
            text += " [UNK] is a character that this model does not know; is it the right model?"
        return text

    def code(self, model: str, text: str, layer: int, head: str | int) -> str:
        """The weights."""
        which = ".mean(0)" if head == "mean" else f"[{int(head) - 1}]"
        how = {"text": text, "name": self.models[model].name, "layer": layer - 1}
        return snippet("AttentionViewer", {"which": which}, **how)
