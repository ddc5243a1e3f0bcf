"""What a person sees of a screening: every signal with the place it points at."""

from datetime import UTC, datetime
from io import StringIO

from rich.console import Console

from countersign.review.payloads import DecisionRecord, ReviewStatus, Screening, Signal
from countersign.trail.trail import TrailCheck, TrailRow
from countersign.words import Channel, RiskBand, Stage, Verdict
from starters.cli.render import status_view
from starters.cli.tables import trail_view

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


def test_status_and_trail_say_for_whom_somebody_signed() -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    signed = DecisionRecord(verdict=Verdict.APPROVE, reviewer="dan", digest="", at=at, on_behalf_of="ines")
    status = ReviewStatus(review_id="r", workflow_id="w", tenant="acme", stage=Stage.SIGN, decisions=(signed,))
    out = StringIO()
    Console(file=out, width=160).print(status_view(status, "acme"))
    assert "dan for ines at 2026-11-01 00:00:00Z" in out.getvalue()


def test_the_trail_calls_whom_a_decision_concerns_for_and_says_where_the_rest_is() -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    row = TrailRow(
        workflow_id="w",
        sequence=1,
        tenant="acme",
        review_id="r",
        stage="sign",
        event="decided",
        user_hash="u",
        input_hash="i",
        actor_hash="p1:dan",
        facts={"concerns": "p1:ines"},
        created_at=at,
        expires_at=at,
        prev_hash="0",
        row_hash="1",
    )
    out = StringIO()
    Console(file=out, width=160).print(trail_view((row,), TrailCheck(ok=True, rows=1)))
    assert "for=p1:ines" in out.getvalue() and "concerns" not in out.getvalue()
    assert "--json has them whole" in out.getvalue()
