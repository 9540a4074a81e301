"""What is said to a learner about an answer or a setting: a box, readable in both themes."""

from __future__ import annotations

import html

# A symbol and JupyterLab's colour for the edge; the text has the theme's own colours, since
# coloured text falls below a contrast of 4.5:1 in one theme or the other.
_KINDS = {
    "right": ("✓", "var(--jp-success-color1, #2e7d32)"),
    "wrong": ("✗", "var(--jp-error-color1, #c62828)"),
    "open": ("…", "var(--jp-info-color1, #0277bd)"),
    "alert": ("⚠", "var(--jp-error-color1, #c62828)"),
}


def message_html(text: str, kind: str, role: str = "status") -> str:
    """A message in a box, as HTML with everything in the text escaped.

    Parameters
    ----------
    text : str
    kind : {"right", "wrong", "open", "alert"}
        Sets the symbol before the text and the colour of the edge.
    role : str
        How a screen reader takes it: ``"status"``, or ``"alert"`` for what stops the learner.

    Examples
    --------
    >>> message_html("1 < 2", "right").split(">")[1]
    '✓ 1 &lt; 2</div'
    """
    symbol, colour = _KINDS[kind]
    style = (
        "background:var(--jp-layout-color1, #fff);color:var(--jp-ui-font-color0, #000);"
        f"border:1px solid {colour};border-left-width:5px;padding:4px 10px;line-height:1.4"
    )
    return f'<div role="{role}" style="{style}">{symbol} {html.escape(text)}</div>'
