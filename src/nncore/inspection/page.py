"""The frame of an HTML page that needs nothing but itself."""

from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d0d7de; --soft: #f4f6f8;
  --forward: #0072b2; --backward: #b34700; --update: #00754f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --paper: #14171a; --line: #3a4149;
  --soft: #1f2429; --forward: #56b4e9; --backward: #f0a04b; --update: #4cc9a0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.2; } h2 { font-size: 1.1rem; margin: 0 0 .3rem; }
section { margin: 1.2rem 0; padding: .8rem 1rem; border-left: 4px solid var(--line);
  background: var(--soft); border-radius: 0 6px 6px 0; }
section.forward { border-color: var(--forward); }
section.backward { border-color: var(--backward); }
section.update { border-color: var(--update); }
.rule { font-style: italic; margin: .2rem 0 .6rem; } .note { margin: .4rem 0 0; opacity: .8; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; white-space: nowrap; }
td.formula { font-family: ui-monospace, monospace; font-size: .82rem; overflow-wrap: anywhere; }
td.value { font-family: ui-monospace, monospace; white-space: nowrap; text-align: right; }
pre { overflow-x: auto; background: var(--soft); padding: .6rem; border-radius: 6px;
  font-size: .85rem; }
figure { margin: .6rem 0; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { font-size: .9rem; opacity: .85; }
"""


def page(title: str, body: str) -> str:
    """A page with this title; `body` is HTML."""
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<link rel='icon' href='data:,'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><main><h1>{escape(title)}</h1>\n{body}\n</main></body></html>\n"
    )
