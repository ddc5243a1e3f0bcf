"""One self-contained page for a manager: no script, nothing fetched, every word escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

STYLE = """
:root { color-scheme: light; --ink: #1d2733; --soft: #5a6776; --line: #dde3ea; --bar: #2f6f9f; --bad: #a8322d; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: #f5f7f9; }
main { max-width: 66rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem; }
p { max-width: 46rem; } .soft { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.4rem, 1fr)); gap: .75rem; margin: 1.5rem 0; }
.card { background: #fff; border: 1px solid var(--line); border-radius: .5rem; padding: .85rem 1rem; }
.card b { display: block; font-size: 1.5rem; line-height: 1.2; } .card span { color: var(--soft); font-size: .9rem; }
.scroll { overflow-x: auto; background: #fff; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .45rem .75rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; white-space: nowrap; } tr:last-child td { border-bottom: 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.id { white-space: nowrap; } td.said { min-width: 17rem; }
td.line { width: 60%; vertical-align: middle; }
.bar { background: var(--bar); height: .7rem; border-radius: .2rem; min-width: 2px; }
blockquote { margin: .2rem 0; padding-left: .6rem; border-left: 3px solid var(--line); color: var(--soft);
  overflow-wrap: anywhere; }
.bad { color: var(--bad); } footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media print { body { background: #fff; } main { max-width: none; padding: 0; } }
"""


def page(title: str, lead: str, *parts: str) -> str:
    """The page. `parts` are HTML made by the functions below; `title` and `lead` are plain text."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(title)}</h1>\n<p class="soft">{escape(lead)}</p>\n' + "\n".join(parts) + "\n</main>\n</body>\n"
        "</html>\n"
    )


def cards(facts: Iterable[tuple[str, str]]) -> str:
    """Big figures with what they are."""
    inside = "".join(
        f'<div class="card"><b>{escape(figure)}</b><span>{escape(what)}</span></div>' for figure, what in facts
    )
    return f'<div class="cards">{inside}</div>'


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def bars(counts: Mapping[str, int], *, what: str) -> str:
    """Counts as horizontal bars, with their numbers."""
    most = max(counts.values(), default=0) or 1
    lines = "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{count:,}</td>'
        f'<td class="line"><div class="bar" style="width:{100 * count / most:.1f}%"></div></td></tr>'
        for name, count in counts.items()
    )
    head = f'<tr><th scope="col">{escape(what)}</th><th scope="col" class="n">number</th><td></td></tr>'
    return f'<div class="scroll"><table>{head}{lines}</table></div>'


def table(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table; numbers stand to the right. A cell that is `Html` is taken as it is."""
    found = [list(line) for line in lines]
    numeric = [
        bool(found) and all(isinstance(line[place], int | float) or line[place] is None for line in found)
        for place in range(len(columns))
    ]
    kinds = [' class="n"' if is_number else "" for is_number in numeric]
    for place in range(len(columns) if found else 0):
        first = found[0][place]
        kinds[place] = ' class="id"' if isinstance(first, Id) else kinds[place]
        kinds[place] = ' class="said"' if isinstance(first, Html) else kinds[place]
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(columns, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{_cell(value)}</td>" for value, kind in zip(line, kinds, strict=True)) + "</tr>"
        for line in found
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


class Id(str):
    """A name that does not break."""

    __slots__ = ()


class Html(str):
    """Text that is HTML already, made of escaped parts."""

    __slots__ = ()


def many(count: int, what: str) -> str:
    """A count with its noun: "1 review", "12 reviews"."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def quotation(said: str, quote: str) -> Html:
    """A statement with what it quotes, where it quotes something."""
    quoted = f"<blockquote>{escape(quote)}</blockquote>" if quote else ""
    return Html(f"{escape(said)}{quoted}")


def _cell(value: object) -> str:
    if isinstance(value, Html):
        return value
    if value is None or value == "":
        return "–"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else escape(str(value))
