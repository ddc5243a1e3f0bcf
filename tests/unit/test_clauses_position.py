"""Positions of clauses that lawyers would recognise, judged by the shipped playbooks' signs."""

import pytest

from countersign.clauses import judge_position
from countersign.playbook.load import load_playbook
from countersign.playbook.model import Playbook
from countersign.settings import ROOT
from countersign.words import Position

BOOKS = {name: load_playbook(ROOT / "playbooks", name) for name in ("msa", "nda")}
P, F, W = Position.PREFERRED, Position.FALLBACK, Position.WALK_AWAY


def family_of(book: Playbook, key: str, clause: str) -> tuple[Position, float]:
    return judge_position(clause, book.family(key))


CLAUSES = [
    ("msa", "renewal_term", P, "The term may be extended only by the mutual written agreement of the parties."),
    ("msa", "renewal_term", F, "This Agreement shall automatically renew for successive periods of one (1) year each."),
    ("msa", "renewal_term", W, "This Agreement renews automatically for successive terms of three (3) years each."),
    ("msa", "notice_period_to_terminate_renewal", F, "unless notice is given ninety (90) days before the term ends"),
    ("msa", "notice_period_to_terminate_renewal", W, "at least one hundred eighty (180) days before the term ends"),
    ("msa", "governing_law", P, "governed by the laws of the State of New York"),
    ("msa", "governing_law", F, "governed by the laws of the State of Texas"),
    ("msa", "anti_assignment", P, "Neither party may assign this Agreement without the other's consent."),
    (
        "msa",
        "anti_assignment",
        F,
        "Customer may not assign this Agreement without the prior written consent of Supplier.",
    ),
    ("msa", "anti_assignment", W, "Vendor may assign this Agreement freely, including to a competitor of Customer."),
    (
        "msa",
        "cap_on_liability",
        P,
        "Neither party's liability shall exceed the fees paid in the prior twelve (12) months.",
    ),
    ("msa", "cap_on_liability", F, "Supplier's liability shall not exceed the fees paid in the prior six (6) months."),
    ("msa", "cap_on_liability", W, "Vendor's total liability shall not exceed USD 100 in the aggregate."),
    ("msa", "uncapped_liability", P, "Nothing in this Agreement limits liability for fraud, death or personal injury."),
    ("msa", "uncapped_liability", W, "Customer's liability under this Agreement shall be unlimited."),
    ("msa", "uncapped_liability", W, "Customer is liable without limit for all direct and indirect damages."),
    ("msa", "uncapped_liability", P, "Supplier's liability shall be unlimited for death or personal injury."),
    ("msa", "consequential_damages", P, "In no event shall either party be liable for consequential damages."),
    (
        "msa",
        "consequential_damages",
        W,
        "In no event shall Supplier be liable for any indirect or consequential damages.",
    ),
    (
        "msa",
        "indemnity",
        P,
        "Each party shall indemnify the other against third-party claims caused by its negligence.",
    ),
    ("msa", "indemnity", W, "Customer shall indemnify Vendor against any and all losses relating to the Services."),
    ("msa", "data_protection", P, "Supplier shall process personal data only on documented instructions of Customer."),
    (
        "msa",
        "data_protection",
        W,
        "Supplier may use and sell Customer data for any purpose, including its own purposes.",
    ),
    ("msa", "termination_for_convenience", P, "Either party may terminate for convenience on sixty (60) days' notice."),
    ("msa", "termination_for_convenience", W, "Vendor may terminate this Agreement at any time for convenience."),
    ("msa", "price_restrictions", P, "Fees shall not be increased by more than the Consumer Price Index."),
    ("msa", "price_restrictions", W, "Supplier may increase the fees at any time in its sole discretion."),
    ("msa", "amendment", W, "Vendor may amend these terms by posting the amended terms on its website."),
    ("msa", "non_compete", W, "Customer shall not compete with Supplier for three (3) years after termination."),
    ("msa", "non_compete", F, "During the term Customer shall not sell competing goods in the Territory."),
    ("nda", "term_of_confidentiality", P, "These duties survive for three (3) years after disclosure."),
    ("nda", "term_of_confidentiality", W, "These duties shall continue in perpetuity."),
    ("nda", "term_of_confidentiality", F, "Trade secrets shall be kept confidential indefinitely."),
    ("nda", "exclusions", P, "It excludes information that is in the public domain or independently developed."),
    ("nda", "exclusions", W, "Information is confidential even if it is publicly known."),
    ("nda", "compelled_disclosure", P, "It shall give prompt written notice of a subpoena before it discloses."),
    ("nda", "permitted_recipients", P, "to employees and advisers who have a need to know"),
    ("nda", "residuals", W, "Company may use residuals for any purpose without restriction."),
    ("nda", "no_licence", P, "No licence is granted under this Agreement."),
    ("nda", "no_licence", W, "Recipient hereby assigns to Discloser all feedback and improvements."),
    ("nda", "indemnity", W, "Recipient shall indemnify and hold harmless Discloser against all losses."),
    ("nda", "uncapped_liability", W, "The Recipient's liability under this Agreement is unlimited."),
    ("nda", "no_solicit_of_employees", W, "For five (5) years Recipient shall not hire any employee of Discloser."),
    ("nda", "mutuality", P, "Each party may disclose confidential information to the other."),
]


@pytest.mark.parametrize(("book", "key", "position", "clause"), CLAUSES)
def test_a_clause_is_judged_as_a_lawyer_would(book: str, key: str, position: Position, clause: str) -> None:
    judged, sure = family_of(BOOKS[book], key, clause)
    assert judged is position
    assert 0.5 <= sure <= 1.0


def test_line_breaks_capitals_and_typographic_quotes_make_no_difference() -> None:
    clause = "NEITHER  PARTY’S\n LIABILITY SHALL\nEXCEED THE FEES PAID IN THE PRIOR TWELVE (12) MONTHS."
    plain = "Neither party's liability shall exceed the fees paid in the prior twelve (12) months."
    family = BOOKS["msa"].family("cap_on_liability")
    assert judge_position(clause, family) == judge_position(plain, family)


@pytest.mark.parametrize("clause", ["", "   ", "The weather was fine."])
def test_without_a_sign_the_position_is_unclear(clause: str) -> None:
    assert judge_position(clause, BOOKS["msa"].family("indemnity")) == (Position.UNCLEAR, 0.0)


def test_a_contradiction_makes_the_judgement_less_sure() -> None:
    family = BOOKS["msa"].family("termination_for_convenience")
    alone = judge_position("Vendor may terminate at any time for convenience.", family)
    both = judge_position("Either party may terminate. Vendor may terminate at any time for convenience.", family)
    assert alone[0] is both[0] is Position.WALK_AWAY
    assert both[1] < alone[1]
