"""The controls of explorers: labelled, keyboard-operable, over recorded values only."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import traitlets

from tlcourse.arguments import shown


def _style_and_room() -> dict[str, Any]:
    """A label as wide as it needs, and a control that grows; each control has its own."""
    return {
        "style": {"description_width": "initial"},
        "layout": {"width": "auto", "min_width": "min(300px, 95%)", "flex": "1 1 320px"},
    }


def choice(label: str, options: Any, value: Any, text: Callable[[Any], str] = str) -> Any:
    """A slider over recorded values only, so that no setting in between is invented."""
    return widgets.SelectionSlider(
        options=[(text(option), option) for option in options],
        value=value, description=label, **_style_and_room(),
    )  # fmt: skip


def menu(
    label: str, options: Any, value: Any, text: Callable[[Any], str] = str
) -> widgets.Dropdown:
    """A drop-down menu."""
    return widgets.Dropdown(
        options=[(text(option), option) for option in options],
        value=value, description=label, **_style_and_room(),
    )  # fmt: skip


def readable(name: str) -> str:
    """A name of the code in words."""
    return name.replace("_", " ")


def tick(label: str, value: bool) -> widgets.Checkbox:
    """A check box."""
    room = _style_and_room()["layout"]
    return widgets.Checkbox(value=value, description=label, indent=False, layout=room)


def field(label: str, value: str) -> widgets.Text:
    """A text field; what is typed counts when Enter is pressed."""
    return widgets.Text(
        value=value, description=label, continuous_update=False, **_style_and_room()
    )


def values_of(control: Any) -> list[Any] | None:
    """What a control takes, if that is a list of values."""
    options = getattr(control, "options", None)
    if options is None:
        return None
    return [option[1] if isinstance(option, tuple) else option for option in options]


def put(name: str, control: Any, value: Any) -> None:
    """Give a control a value that it takes.

    ipywidgets alone would take None for any choice, and make a text or a bool of anything.

    Raises
    ------
    ValueError
        If it does not take it; the text says what it takes.
    """
    values, kind = values_of(control), type(control.value)
    if values is not None:
        try:
            fits = value in values
        except (TypeError, ValueError):  # an array
            fits = False
        takes = f"it takes {values}"
    else:
        fits = kind not in {bool, str} or isinstance(value, kind)
        takes = f"it takes a value such as {control.value!r}"
        takes = {bool: "it takes True or False", str: "it takes a text"}.get(kind, takes)
    if not fits:
        raise ValueError(f"{name} cannot be {shown(value)}; {takes}")
    try:
        control.value = value
    except traitlets.TraitError as fault:
        raise ValueError(f"{name} cannot be {shown(value)}; {takes}") from fault


class Picture(widgets.Image):
    """An image whose tooltip is its accessible name.

    ipywidgets 8.1 shows no image that has a tooltip but no ``description`` (its issue 3860):
    here it has one, empty.
    """

    description = traitlets.Unicode("").tag(sync=True)

    def show(self, png: bytes, text: str) -> None:
        """Show a picture and its name, in one message so that none is seen without the other."""
        with self.hold_sync():
            self.value, self.tooltip = png, text
        self.remove_class("tl-veiled")

    def veil(self, text: str) -> None:
        """Fade the picture, which is not of the settings that the controls show."""
        self.tooltip = text
        self.add_class("tl-veiled")


def button(text: str, tooltip: str) -> widgets.Button:
    """A button as wide as its text."""
    return widgets.Button(description=text, tooltip=tooltip, layout={"width": "auto"})


# The toggle that shows the code is ipywidgets' own and hidden; this button presses it. Only a
# script in the page may write to the clipboard, and only while a press is being handled.
_COPY = """
const box = this.closest('.tl-explorer'), said = this.nextElementSibling;
const toggle = box.querySelector('.tl-show-code'), open = toggle.classList.contains('mod-active');
toggle.click();
this.setAttribute('aria-expanded', String(!open));
said.textContent = '';
if (!open) Promise.resolve(box.querySelector('.tl-code textarea').value)
    .then(code => navigator.clipboard.writeText(code))
    .then(() => { said.textContent = 'copied'; })
    .catch(() => { said.textContent = 'select the code below to copy it'; });
"""


def copy_button(text: str) -> widgets.HTML:
    """A button that shows the code and puts it on the clipboard; and the styles of an explorer."""
    return widgets.HTML(
        "<style>.tl-veiled { opacity: 0.3; filter: grayscale(1); }</style>"
        '<button type="button" class="jupyter-button widget-button" style="width:auto;margin:0" '
        f'aria-expanded="false" title="" onclick="{_COPY}">{html.escape(text)}</button>'
        ' <span role="status"></span>'
    )


def html_table(rows: list[list[str]]) -> str:
    """Rows as an HTML table with everything in it escaped; the first row is the head."""
    if not rows:
        return ""
    lines = []
    for number, row in enumerate(rows):
        tag = "td" if number else "th"
        cells = "".join(
            f'<{tag} style="text-align:left;padding:0 14px 0 0">{html.escape(cell)}</{tag}>'
            for cell in row
        )
        lines.append(f"<tr>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"
