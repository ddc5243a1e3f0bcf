"""The clause finder on contracts written here: it finds what is there, verbatim, and nothing in what is no contract."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.clauses import ClauseHit, find_clauses
from countersign.clauses.find import MOST_HITS
from countersign.clauses.passages import LONGEST, passages
from countersign.clauses.structure import parties, title
from countersign.playbook.load import load_playbook
from countersign.playbook.model import Family, Stance
from countersign.settings import ROOT
from countersign.words import Severity

MSA = load_playbook(ROOT / "playbooks", "msa").families
NDA = load_playbook(ROOT / "playbooks", "nda").families

SERVICES = """MASTER SERVICES AGREEMENT

This Master Services Agreement (the "Agreement") is made as of March 3, 2025 by and between Ferrous Grid, Inc., a
Delaware corporation ("Supplier"), and Oakmere Retail LLC, an Ohio limited liability company ("Customer").

1. TERM. The initial term of this Agreement shall commence on the Effective Date and continue for a period of three (3)
years, unless terminated earlier.  Thereafter this Agreement shall automatically renew for successive one-year terms
unless either party gives written notice of non-renewal at least sixty (60) days prior to the end of the current term.

2. FEES. Customer shall pay each undisputed invoice within thirty (30) days of its receipt.

3. AUDIT. Upon reasonable prior notice, Customer may audit the books and records of Supplier that relate to the fees,
not more than once in any calendar year.

4. INSURANCE. Supplier shall maintain commercial general liability insurance with limits of not less than $2,000,000 per
occurrence and shall provide certificates of insurance upon request.

5. LIMITATION OF LIABILITY. IN NO EVENT SHALL EITHER PARTY'S AGGREGATE LIABILITY ARISING OUT OF THIS AGREEMENT EXCEED
THE FEES PAID BY CUSTOMER IN THE TWELVE (12) MONTHS PRECEDING THE CLAIM.

6. ASSIGNMENT. Neither party may assign this Agreement without the prior written consent of the other party, which
consent shall not be unreasonably withheld.

7. GOVERNING LAW. This Agreement shall be governed by and construed in accordance with the laws of the State of New
York, without regard to its conflict of laws principles.
"""

SECRETS = """MUTUAL NON-DISCLOSURE AGREEMENT

This agreement is entered into by and between Quillon Labs Ltd ("Quillon") and Peregrine Optics GmbH ("Peregrine").

1. "Confidential Information" means information that is marked confidential or that a reasonable person would understand
to be confidential.

2. Confidential Information does not include information that is publicly available, was already known to the recipient,
is independently developed, or is lawfully received from a third party.

3. The receiving party may disclose Confidential Information to its employees and professional advisers with a need
to know.

4. If the receiving party is required by law or court order to disclose Confidential Information, it shall give prompt
notice to the disclosing party.

5. Upon request the receiving party shall return or destroy all copies of the Confidential Information.

6. The obligations of this agreement shall survive for three years after the date of disclosure.

7. No licence under any patent or copyright is granted by this agreement.

8. Each party may seek injunctive relief in case of a breach.
"""

RECIPE = """Leek and Potato Soup

Slice the leeks, soften them gently in butter for ten minutes, then add the potatoes and the stock. Simmer until a knife
goes through a potato without effort, blend, season with nutmeg, and serve with chives and good bread.
"""


def found(text: str, families: tuple[Family, ...]) -> dict[str, list[ClauseHit]]:
    hits: dict[str, list[ClauseHit]] = {}
    for hit in find_clauses(text, families):
        hits.setdefault(hit.family, []).append(hit)
    return hits


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("document_name", "MASTER SERVICES AGREEMENT"),
        ("parties", "Oakmere Retail LLC"),
        ("agreement_date", "March 3, 2025"),
        ("expiration_date", "for a period of three (3)\nyears"),
        ("renewal_term", "automatically renew"),
        ("notice_period_to_terminate_renewal", "sixty (60) days"),
        ("payment_terms", "within thirty (30) days"),
        ("audit_rights", "audit the books and records"),
        ("insurance", "commercial general liability insurance"),
        ("cap_on_liability", "AGGREGATE LIABILITY"),
        ("anti_assignment", "Neither party may assign"),
        ("governing_law", "State of New"),
    ],
)
def test_the_obvious_is_found_in_a_services_agreement(family: str, words: str) -> None:
    best = found(SERVICES, MSA)[family][0]
    assert words in SERVICES[best.start : best.end]
    assert best.score >= 0.4


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("definition_of_confidential_information", "marked confidential"),
        ("exclusions", "publicly available"),
        ("permitted_recipients", "professional advisers"),
        ("compelled_disclosure", "court order"),
        ("return_or_destruction", "return or destroy"),
        ("term_of_confidentiality", "survive for three years"),
        ("no_licence", "No licence"),
        ("remedies", "injunctive relief"),
    ],
)
def test_the_obvious_is_found_in_an_nda(family: str, words: str) -> None:
    best = found(SECRETS, NDA)[family][0]
    assert words in SECRETS[best.start : best.end]


@pytest.mark.parametrize(
    "family", ["non_compete", "most_favored_nation", "source_code_escrow", "exclusivity", "uncapped_liability"]
)
def test_what_is_not_there_is_not_found(family: str) -> None:
    assert family not in found(SERVICES, MSA)


def test_no_clause_is_found_in_a_recipe() -> None:
    assert set(found(RECIPE, MSA)) <= {"effective_date", "agreement_date"}
    assert "parties" not in found(RECIPE, NDA)


@pytest.mark.parametrize("text", ["", " ", "\n\n\f\n", "…!?"])
def test_no_text_no_hits(text: str) -> None:
    assert find_clauses(text, MSA) == ()


def test_no_families_no_hits() -> None:
    assert find_clauses(SERVICES, ()) == ()


def test_hard_line_breaks_make_no_difference_to_what_is_found() -> None:
    flowing = "\n\n".join(" ".join(part.split()) for part in SERVICES.split("\n\n"))
    assert set(found(flowing, MSA)) == set(found(SERVICES, MSA))


def test_hits_come_family_by_family_best_first_and_few() -> None:
    text = SERVICES * 6
    hits = find_clauses(text, MSA)
    order = [family.key for family in MSA]
    assert [order.index(hit.family) for hit in hits] == sorted(order.index(hit.family) for hit in hits)
    for family in MSA:
        own = [hit for hit in hits if hit.family == family.key]
        assert len(own) <= MOST_HITS
        assert [hit.score for hit in own] == sorted((hit.score for hit in own), reverse=True)
    assert len([hit for hit in hits if hit.family == "governing_law"]) == MOST_HITS


def test_a_family_that_nobody_trained_is_found_by_its_cues() -> None:
    stance = Stance(text="None.")
    family = Family(
        key="quarantine",
        title="Quarantine",
        specialist="any",
        question="Is there quarantine?",
        severity=Severity.LOW,
        cues=(r"\bquarantine[ds]?\b", r"\bisolat(?:ed|ion)\b"),
        preferred=stance,
        fallback=stance,
        walk_away=stance,
    )
    text = "Goods are kept dry and clean at the expense of the carrier at all times, without exception.\n\n" + (
        "Infested goods shall be quarantined by the carrier, in isolation from all others, until they are inspected."
    )
    (hit,) = find_clauses(text, [family])
    assert text[hit.start : hit.end].startswith("Infested goods")
    assert find_clauses(text.replace("quarantine", "treat").replace("isolation", "piles"), [family]) == ()


def test_the_same_call_gives_the_same_hits() -> None:
    assert find_clauses(SERVICES, MSA) == find_clauses(str(SERVICES), list(MSA))
    alone = tuple(hit for family in MSA for hit in find_clauses(SERVICES, [family]))
    assert alone == find_clauses(SERVICES, MSA)


def test_title_and_parties_by_form() -> None:
    span = title(SERVICES)
    assert span is not None
    assert SERVICES[slice(*span)] == "MASTER SERVICES AGREEMENT"
    named = title(
        'The undersigned agree.\nThe Data Hosting Agreement of May 1 stays as it is, and so do "its" schedules.'
    )
    assert named is not None
    assert parties(RECIPE) is None
    assert title(RECIPE) is None


TEXTS = st.one_of(
    st.text(max_size=400),
    st.lists(
        st.sampled_from(
            [*SERVICES.split(" "), *SECRETS.split(" "), "\n\n", "\n", "  ", "(a)", "1.2", "\u200b", "İ", "ß"]
        ),
        max_size=120,
    ).map(" ".join),
)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_hits_lie_within_any_text_and_have_probabilities(text: str) -> None:
    for hit in find_clauses(text, (*MSA, *NDA)):
        assert 0 <= hit.start < hit.end <= len(text)
        assert hit.end - hit.start <= LONGEST
        assert 0.0 <= hit.score <= 1.0
        assert text[hit.start : hit.end].strip() == text[hit.start : hit.end]


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_passages_are_ordered_apart_and_lose_no_word(text: str) -> None:
    spans = passages(text)
    assert all(0 <= start < end <= len(text) and end - start <= LONGEST for start, end in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    covered = "".join(text[start:end] for start, end in spans)
    assert sum(map(str.isalnum, covered)) == sum(map(str.isalnum, text))


def test_a_hundred_thousand_characters_are_quick() -> None:
    text = "".join(SERVICES.replace("Oakmere", f"Oakmere {number}") for number in range(60))[:100_000]
    find_clauses("Warm up.", MSA)
    began = time.process_time()
    find_clauses(text, MSA)
    assert time.process_time() - began < 1.0
