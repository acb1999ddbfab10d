"""An explanation as a page of its own."""

from html import escape

from nncore.inspection.explain import Explanation, Section
from nncore.inspection.page import page


def render(explanation: Explanation) -> str:
    """A table for each section; forward, backward and update in their own colours."""
    body = [f"<p>{escape(explanation.title)}.</p>"]
    body += map(_section, explanation.sections)
    return page("A step under glass", "\n".join(body))


def _section(section: Section) -> str:
    kind = section.title.split(":")[0].lower()
    rows = "\n".join(
        f"<tr><th scope='row'>{escape(line.symbol)}</th>"
        f"<td class='formula'>{escape(line.formula)}</td>"
        f"<td class='value'>{line.value:.7g}</td></tr>"
        for line in section.lines
    )
    more = f"<p class='note'>... and {section.left_out} more</p>" if section.left_out else ""
    return (
        f"<section class='{escape(kind)}'><h2>{escape(section.title)}</h2>"
        f"<p class='rule'>{escape(section.rule)}</p>"
        f"<div class='scroll'><table>{rows}</table></div>{more}</section>"
    )
