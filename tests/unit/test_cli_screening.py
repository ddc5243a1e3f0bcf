"""What a person sees of a screening: every signal with the place it points at."""

from io import StringIO

from rich.console import Console

from countersign.review.payloads import ReviewStatus, Screening, Signal
from countersign.words import Channel, RiskBand, Stage
from starters.cli.render import status_view

SIGNALS = (
    Signal(
        name="override_instructions",
        channel=Channel.DOCUMENT,
        score=0.85,
        explanation="The document tells the reader to set earlier instructions aside.",
        start=1204,
        end=1251,
        page=3,
    ),
    Signal(name="persona", channel=Channel.INSTRUCTION, score=0.4, explanation="Plays a part.", start=0, end=9),
    Signal(name="agent_unsupported", channel=Channel.DOCUMENT, score=0.35, explanation="Is suspicious."),
)


def shown(band: RiskBand) -> list[list[str]]:
    """The words of every line that `countersign status` prints."""
    screening = Screening(risk_score=0.5, band=band, signals=SIGNALS)
    status = ReviewStatus(review_id="r", workflow_id="w", tenant="acme", stage=Stage.SIGN, screening=screening)
    out = StringIO()
    Console(file=out, width=160).print(status_view(status, "acme"))
    return [line.strip("│ ").split() for line in out.getvalue().splitlines()]


def test_each_signal_is_shown_with_page_and_characters() -> None:
    lines = shown(RiskBand.ELEVATED)
    row = ["override_instructions", "document", "0.85", "3", "1204-1251", "The", "document", "tells"]
    assert any(line[: len(row)] == row for line in lines)
    assert ["persona", "instruction", "0.40", "-", "0-9", "Plays", "a", "part."] in lines
    assert ["agent_unsupported", "document", "0.35", "-", "-", "Is", "suspicious."] in lines


def test_weak_signals_of_a_clean_text_are_not_spread_out() -> None:
    assert not any("1204-1251" in line for line in shown(RiskBand.CLEAN))
