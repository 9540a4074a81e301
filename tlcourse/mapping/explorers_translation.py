"""Lesson 2's explorer of single words: a Chinese word among its English neighbours."""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure

from tlcourse.mapping.explorers import fitted_map
from tlcourse.mapping.linear_map import LinearMap, fit_gradient_descent
from tlcourse.mapping.spaces import load_bilingual, translate
from tlcourse.training import Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import field, menu
from tlcourse.widgets.explorer import Explorer, Result


class TranslateWord(Explorer):
    """Type a Chinese word, see its English neighbours before and after CSLS."""

    name = "translate a word"
    size = (7.8, 2.9)

    def __init__(self, **settings: object) -> None:
        controls = {
            "chinese": field("Chinese word", "音乐"),
            "map_method": menu("fitted by", ("Procrustes", "least squares", "ridge"), "Procrustes"),
        }
        super().__init__(controls, **settings)

    def compute(self, chinese: str, map_method: str) -> Result:
        """Five neighbours by cosine and five by CSLS."""
        return self._look(chinese, fitted_map("unit", map_method, 3500))

    def _look(self, chinese: str, linear_map: LinearMap) -> Result:
        word = chinese.strip().lower()
        if not word:
            raise ValueError("type a Chinese word, such as 电影 or 音乐, and press Enter")
        spaces = load_bilingual("unit")
        found = {
            name: translate(spaces, linear_map, word, 5, use)
            for name, use in (("cosine", False), ("CSLS", True))
        }
        gold = spaces.dictionary.translations.get(word, ())
        return {"word": word, "gold": gold, **found}

    def train(self, progress: Progress, chinese: str, map_method: str) -> Result:
        """Fit the map by gradient descent and look again."""
        spaces = load_bilingual("unit")
        linear_map, _ = fit_gradient_descent(*spaces.pairs(), progress=progress)
        return self._look(chinese, linear_map)

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Scores as bars; dictionary translations are dark."""
        shown = [(name, result[name]) for name in ("cosine", "CSLS")]
        if live:
            shown.append(("CSLS, live map", live["CSLS"]))
        width = 0.98 / len(shown)
        for place, (name, found) in enumerate(shown):
            # Words and scores as plain text: an axis with ticks takes matplotlib twice as long.
            axes = figure.add_axes((0.01 + place * width, 0.04, width - 0.02, 0.84))
            axes.set_axis_off()
            axes.set_title(name, fontsize=10, loc="left")
            figures.word_bars(axes, found, {word for word, _ in found if word in result["gold"]})

    def describe(self, result: Result, live: Result | None) -> str:
        """The neighbours in words, and what the dictionary says."""
        told = "; ".join(
            f"by {name}: {', '.join(word for word, _ in result[name])}"
            for name in ("cosine", "CSLS")
        )
        gold = ", ".join(result["gold"][:5]) or "not listed among the words we use"
        text = f"{result['word']} → {told}. Dictionary: {gold}."
        if live:
            text += f" Live map, by CSLS: {', '.join(word for word, _ in live['CSLS'])}."
        return text

    def code(self, chinese: str, map_method: str) -> str:
        """Translate the word by both scores."""
        return textwrap.dedent(f"""\
            from tlcourse.mapping.spaces import load_bilingual, translate
            from tlcourse.mapping import fit

            spaces = load_bilingual("unit")
            linear_map = fit(*spaces.pairs(3500, seed=0), {map_method!r})
            word = {chinese.strip().lower()!r}
            result = {{
                "cosine": translate(spaces, linear_map, word, 5, use_csls=False),
                "CSLS": translate(spaces, linear_map, word, 5, use_csls=True),
            }}
            print(result)
            """)
