"""An explanation as plain text."""

from nncore.inspection.explain import Explanation, Line, Section

_WIDTH = 100


def render(explanation: Explanation) -> str:
    """The whole story, a blank line between its sections."""
    parts = [explanation.title, *map(_section, explanation.sections)]
    return "\n\n".join(parts)


def _section(section: Section) -> str:
    lines = [f"{section.title}: {section.rule}"]
    width = max((len(line.symbol) for line in section.lines), default=0)
    lines += [_line(line, width) for line in section.lines]
    if section.left_out:
        lines.append(f"  ... and {section.left_out} more")
    return "\n".join(lines)


def _line(line: Line, width: int) -> str:
    value = f"{line.value:.7g}"
    if not line.formula:
        return f"  {line.symbol:<{width}} = {value}"
    whole = f"  {line.symbol:<{width}} = {line.formula} = {value}"
    if len(whole) <= _WIDTH:
        return whole
    return f"  {line.symbol:<{width}} = {line.formula}\n  {'':<{width}} = {value}"
