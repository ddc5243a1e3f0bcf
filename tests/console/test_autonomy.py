"""A promotion signed by keyboard and seen to hold, then taken back; no barrier on any page of evidence."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from helpers.browser import Console, barriers
from helpers.contracts import nda
from helpers.stack import Dev
from playwright.sync_api import expect

from countersign.evidence.arms import Arm, CellKey
from countersign.evidence.observation import Observation
from countersign.review.payloads import ReviewKey
from countersign.services import Services
from countersign.shadow.judging import Compared
from countersign.store.evidence import NewItem
from countersign.store.shadow import CaseLabels
from workers.endpoints import resolve

CELL = CellKey("desk", "lenient", "supply")
PAGE = "/console/autonomy/lenient/supply"
RUN = "/console/shadow/runs/evidence"
HOSTILE = "<script>document.title='owned'</script>\u202e"
ARM = Arm(models={"plan": "offline"}, prompts={"plan": "p"}, playbook_digest="d", code_version="1")
ITEMS = 96


@pytest.fixture(scope="module", autouse=True)
def evidence(dev: Dev) -> None:
    """A shadow run's worth of agreement for one cell, with one disagreement that is hostile."""

    async def told() -> None:
        async with Services.open(dev.settings, resolve(dev.settings)) as services:
            await services.shadow.open_run(CELL.tenant, "evidence", {"digest": "d", "playbook": "lenient"})
            await services.evidence.standing(CELL, ARM, "first")
            for number in range(ITEMS):
                review_id = f"evidence-{number}"
                agent = "absent" if number == 3 else "present"
                clause = Compared(clause="term", agent=agent, person="present", person_quote=HOSTILE)
                item = NewItem(
                    arm=ARM.fingerprint,
                    source="labels",
                    submitted_at=datetime(2026, 3, 4, tzinfo=UTC) + timedelta(minutes=number),
                    document_sha256=review_id,
                    stated=0.9,
                    observation=Observation(agreement=0.9 if number == 3 else 1.0),
                    clauses=(clause,),
                    run_id="evidence",
                    name=f"{HOSTILE} {number}",
                )
                await services.shadow.add(CELL.tenant, "evidence", review_id, number, CaseLabels())
                key = ReviewKey(tenant=CELL.tenant, review_id=review_id, workflow_id=f"review-desk-{review_id}")
                await services.evidence.observe(key, CELL, item)
                await services.shadow.used(CELL.tenant, review_id)

    # In a thread of its own: Playwright's loop counts as running in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(told())).result()


def test_no_page_of_evidence_has_a_barrier_and_a_promotion_is_signed_by_keyboard(console: Console) -> None:
    review_id = console.submit("ana", nda("in perpetuity"), "strict")
    paths = ("/console/autonomy", PAGE, "/console/shadow", RUN, f"/console/reviews/{review_id}/why")

    def look(person: str, *there: str) -> None:
        with console.visit(person, reduced_motion="reduce") as page:
            for path in there:
                page.goto(path)
                page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
                for width, scheme in ((1440, "light"), (390, "dark")):
                    page.set_viewport_size({"width": width, "height": 900})
                    page.emulate_media(color_scheme=scheme)
                    assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
                    assert barriers(page) == [], (path, width)
                assert "owned" not in page.title()

    look("gov", *paths)
    with console.visit("gov", "/console/autonomy") as page:
        page.get_by_role("link", name="Supply").press("Enter")
        expect(page.locator("#level")).to_have_text("Supervised")
        page.get_by_label("Why you sign for it").focus()
        page.keyboard.type("The shadow run of March")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#level")).to_have_text("Semi-autonomous")
        expect(page.get_by_text("Signed: the level is in force")).to_be_focused()
        expect(page.get_by_text("The shadow run of March")).to_be_visible()
    look("gov", PAGE)
    with console.visit("gov", PAGE) as page:
        page.get_by_text("Take it back", exact=True).first.press("Enter")
        page.get_by_label("Why you take it back").fill("An audit")
        page.get_by_role("button", name="Take it back").press("Enter")
        expect(page.locator("#level")).to_have_text("Supervised")


def test_a_disagreement_stands_with_its_quotation_as_text_and_leads_to_the_review(console: Console) -> None:
    with console.visit("aud", RUN) as page:
        expect(page.get_by_text("On 96 clauses of 96 contracts")).to_be_visible()
        expect(page.locator("blockquote").first).to_contain_text("<script>")
        assert "\u202e" not in page.content()
        assert page.locator(".difference a").first.get_attribute("href") == "/console/reviews/evidence-3"
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save as a page").press("Enter")
        assert saved.value.suggested_filename == "shadow-evidence.html"
