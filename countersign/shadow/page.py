"""A shadow report as one self-contained page: no script, nothing fetched, every word of a document escaped."""

from countersign.shadow.report import ShadowReport
from countersign.shadow.sections import SHEET, TITLE, body, lead, words

SHELL = """
:root { color-scheme: light; --ink: #1c2126; --soft: #555d66; --line: #dad6cf; --paper: #f7f6f3; --surface: #fff;
  --accent: #175a67; --accent-wash: #dbeaec; --critical: #98182b; --high: #b3530f; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  color: var(--ink); background: var(--paper); }
main { max-width: 70rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; letter-spacing: -.015em; margin: 0 0 .35rem; }
.soft { color: var(--soft); margin: 0 0 1.4rem; overflow-wrap: anywhere; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
@media (max-width: 40rem) { main { padding: 1.25rem .9rem 3rem; } h1 { font-size: 1.5rem; } }
@media print { body { background: #fff; font-size: 11pt; } main { max-width: none; padding: 0; } }
"""


def page(found: ShadowReport, target: float = 0.05) -> str:
    """The page; `target` is the share of error that would be allowed among what is released."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{TITLE}</title>\n<style>{SHELL}{SHEET.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
        f'<main>\n<h1>{TITLE}</h1>\n<p class="soft">{words(lead(found))}</p>\n'
        f'<div class="report">\n{body(found, target)}\n</div>\n'
        "</main>\n</body>\n</html>\n"
    )
