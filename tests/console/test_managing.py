"""Batches, people, notifications and corrections in a browser: each done as its people do it, and refused kindly."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from helpers.browser import Console, barriers
from helpers.contracts import HOSTILE, nda
from helpers.stack import Dev, until
from playwright.sync_api import Page, expect

BAD_NAME = '"><img src=x onerror=alert(1)>.pdf'
TWO = ("light", 1440), ("dark", 390)


@dataclass(frozen=True)
class Batches:
    """Ids of a batch that is over, of a rerun of it, and of one that is paused."""

    done: str
    rerun: str
    paused: str


@pytest.fixture(scope="module")
def batches(dev: Dev, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batches]:
    folder = tmp_path_factory.mktemp("contracts")
    for number, law in enumerate(("Ireland", "France", "Chile")):
        (folder / f"nda {number}.md").write_text(nda(law=law))
    (folder / "hostile.md").write_text(HOSTILE)
    Path(folder, BAD_NAME).write_bytes(b"%PDF-1.7 nothing")
    of = ("--tenant", "desk")
    order = ("batch", "submit", str(folder), *of, "--playbook", "lenient", "--manual-minutes", "45", "--json")
    done = dev.cli(*order, "--wait").json["batch_id"]
    rerun = dev.cli("rerun", "--since", "1h", *of, "--playbook", "strict", "--limit", "2", "--json").json["batch_id"]
    many = tmp_path_factory.mktemp("many")
    for number in range(80):  # more than are done between two clicks
        (many / f"nda {number}.md").write_text(nda(law=f"Land {number}"))
    assert dev.cli("batch", "submit", str(many), *of, "--playbook", "lenient", "--window", "1", "--id", "q9").code == 0
    assert dev.cli("batch", "pause", "q9", *of).code == 0
    yield Batches(done, rerun, "q9")
    dev.cli("batch", "cancel", "q9", *of)


def look_at(page: Page) -> None:
    """No barrier, and nothing wider than the screen, on a desk and on a phone."""
    page.emulate_media(reduced_motion="reduce")
    page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
    for scheme, width in TWO:
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url
        assert barriers(page) == [], (page.url, width)
    page.set_viewport_size({"width": 1280, "height": 900})


def test_a_batch_is_found_and_read_with_what_failed_and_its_report(console: Console, batches: Batches) -> None:
    with console.visit("rita", "/console/batches") as page:
        row = page.locator(f"a[href$='{batches.done}']")
        expect(row).to_contain_text("5 of 5")
        look_at(page)
        while not row.evaluate("row => row === document.activeElement"):
            page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Did not come through")).to_be_visible()
        expect(page.get_by_role("rowheader", name=BAD_NAME)).to_be_visible()
        expect(page.get_by_role("button", name="Pause")).to_have_count(0)
        look_at(page)
        page.get_by_label("US dollars it costs by hand").fill("a lot")
        page.get_by_role("button", name="Compute").click()
        expect(page.get_by_role("alert")).to_contain_text("is no number above 0")
        expect(page.get_by_label("US dollars it costs by hand")).to_have_value("a lot")
        page.get_by_label("US dollars it costs by hand").fill("120")
        page.get_by_role("button", name="Compute").click()
        expect(page.locator("#report")).to_contain_text("45 minutes and $120.00")
        for name, kind in (("Page", "html"), ("CSV", "csv"), ("JSON", "json")):
            with page.expect_download() as got:
                page.get_by_role("link", name=name, exact=True).click()
            assert got.value.suggested_filename == f"batch-{batches.done}.{kind}"
            text = Path(got.value.path()).read_text()
            assert "nda 0.md" in text
            assert ("$120.00" in text) == (kind == "html")


def test_a_rerun_is_compared_in_pairs(console: Console, batches: Batches) -> None:
    with console.visit("aud", f"/console/batches/{batches.rerun}") as page:
        expect(page.locator("#report")).to_contain_text("2 of 2 stored reviews were analysed by both arms")
        expect(page.get_by_role("link", name="CSV")).to_have_count(0)
        look_at(page)


def test_an_operator_resumes_and_cancels_without_a_script_and_sees_no_names(console: Console, batches: Batches) -> None:
    with console.visit("rita", f"/console/batches/{batches.paused}") as page:
        expect(page.get_by_text("Paused", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name="Resume")).to_have_count(0)
    path = f"/console/batches/{batches.paused}"
    with console.visit("olu", path, java_script_enabled=False) as page:
        page.get_by_role("button", name="Resume").click()
        expect(page.get_by_text("Running", exact=True)).to_be_visible()
        page.locator("summary", has_text="Cancel …").click()
        page.get_by_role("button", name="Cancel this batch").click()
        # What was under way ends first, then the rest is written off.
        until(
            "it is cancelled, and most of it was never begun",
            lambda: (
                page.reload() is not None
                and page.get_by_text("Cancelled", exact=True).is_visible()
                and page.get_by_text("not begun").is_visible()
            ),
        )
    with console.visit("olu", f"/console/batches/{batches.done}") as page:
        expect(page.get_by_role("heading", name="Did not come through")).to_have_count(0)
        expect(page.get_by_role("link", name="CSV")).to_have_count(0)
        assert "nda 0.md" not in page.content()
        assert page.request.get(f"/console/batches/{batches.done}/report.csv").status == 403


def test_an_admin_changes_a_group_by_keyboard_and_a_refusal_keeps_what_was_typed(console: Console) -> None:
    with console.visit("bea", "/console/people") as page:
        page.locator("summary", has_text="Add a member").press("Enter")
        page.get_by_label("Group", exact=True).fill("No Group")
        page.get_by_label("Name, as they sign in").fill("Rita Keller")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("is no name of a group")
        expect(page.get_by_label("Name, as they sign in")).to_have_value("Rita Keller")
        page.get_by_label("Group", exact=True).fill("desk-legal")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").first).to_contain_text("Done.")
        remove = page.get_by_role("button", name="Remove Rita Keller from desk-legal")
        expect(remove).to_be_visible()
        look_at(page)
        remove.press("Enter")
        expect(remove).to_have_count(0)
        expect(page.locator("summary", has_text="Last changes")).to_be_visible()


def test_a_reviewer_is_away_with_a_delegate_and_comes_back_and_changes_nobody_else(console: Console) -> None:
    end = f"{datetime.now(UTC) + timedelta(days=3):%Y-%m-%dT%H:%M}"
    with console.visit("rita", "/console/people", java_script_enabled=False) as page:
        expect(page.locator("summary", has_text="Add a member")).to_have_count(0)
        page.locator("summary", has_text="Say that you are away").click()
        page.get_by_label("Until (UTC)").fill("2020-01-01T08:00")
        page.get_by_label("Who signs for them").fill("Sam Lindqvist")
        page.get_by_role("button", name="Set").click()
        expect(page.get_by_role("alert")).to_contain_text("Until: 2020-01-01 08:00 UTC has passed")
        expect(page.get_by_label("Who signs for them")).to_have_value("Sam Lindqvist")
        page.get_by_label("Until (UTC)").fill(end)
        page.get_by_role("button", name="Set").click()
        expect(page.locator("#absences-title ~ ul")).to_contain_text("Sam Lindqvist signs for them")
        with console.visit("sam", "/console/people") as sam:
            expect(sam.locator("#absences-title ~ ul")).to_contain_text("Rita Keller")
            expect(sam.get_by_role("button", name="Rita Keller is back")).to_have_count(0)
        page.get_by_role("button", name="Rita Keller is back").click()
        expect(page.get_by_text("Nobody is away.")).to_be_visible()


def test_an_operator_may_not_see_who_people_are(console: Console) -> None:
    with console.visit("olu", "/console/people") as page:
        expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
        expect(page.locator(".menu a", has_text="People")).to_have_count(0)


def test_a_webhook_shows_its_secret_once_and_is_removed(console: Console) -> None:
    with console.visit("olu", "/console/notifications") as page:
        add = page.locator("summary", has_text="Add a subscription")
        if not page.get_by_label("Address").is_visible():
            add.click()
        page.get_by_label("Address").fill("http://hooks.example.com/abc")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_label("Address")).to_have_value("http://hooks.example.com/abc")
        page.get_by_label("Address").fill("https://hooks.example.com/very-secret-path")
        page.get_by_label("it still waits").uncheck()
        page.get_by_role("button", name="Add", exact=True).press("Enter")
        expect(page.get_by_role("heading", name="The webhook's secret, shown this once")).to_be_visible()
        expect(page.locator(".secret")).to_contain_text(re.compile("whsec_.+"))
        look_at(page)
        page.goto("/console/notifications")
        shown = page.content()
        assert "whsec_" not in shown
        assert "very-secret-path" not in shown
        row = page.locator(".subscriptions li", has_text="hooks.example.com/…")
        expect(row).to_contain_text("waiting, reassigned")
        row.locator("summary").click()
        row.get_by_role("button", name=re.compile("Remove n")).click()
        expect(row).to_have_count(0)


def test_a_correction_is_withdrawn_for_a_reason_and_restored(console: Console) -> None:
    review_id = console.submit("ana", nda("five (5) years"))
    edits = [{"action": "set", "finding_id": "F1", "severity": "critical"}]
    given = {"verdict": "amend", "edits": edits, "note": "we never give that"}
    assert console.api("sam", "POST", f"/v1/reviews/{review_id}/decision", json=given).status_code == 200
    with console.visit("rita", "/console/memory") as page:
        one = page.locator(".corrections > li", has_text=review_id).first

        def is_learned() -> bool:
            page.reload()
            return one.count() > 0

        until("the amendment is learned", is_learned)
        expect(one.get_by_role("link", name=f"review {review_id}")).to_be_visible()
        expect(one).to_contain_text("Active")
        look_at(page)
        page.reload()
        one.locator("summary", has_text="Confirm or withdraw").press("Enter")
        reason = one.get_by_label("Reason, for the record")
        reason.evaluate("field => field.removeAttribute('required')")
        one.get_by_role("button", name="Withdraw").click()
        expect(page.get_by_role("alert")).to_contain_text("Reason: is empty")
        one.get_by_label("Reason, for the record").fill("made on the wrong contract")
        one.get_by_role("button", name="Withdraw").press("Enter")
        expect(one).to_contain_text("Withdrawn")
        one.locator("summary", has_text="Clause and history").click()
        expect(one).to_contain_text("made on the wrong contract")
    with console.visit("aud", "/console/memory") as page:
        expect(page.locator("summary", has_text="withdraw")).to_have_count(0)


def test_the_menu_opens_by_keyboard_and_shows_what_a_role_may_see(console: Console) -> None:
    with console.visit("olu", "/console/queue") as page:
        page.locator(".more summary").press("Enter")
        expect(page.get_by_role("link", name="Limits")).to_be_visible()
        assert page.locator(".menu a").all_inner_texts() == [
            "Batches", "Notifications", "Autonomy", "Costs", "Circuits", "Limits",
        ]  # fmt: skip
        assert barriers(page) == []
        page.keyboard.press("Escape")
        expect(page.get_by_role("link", name="Limits")).to_be_hidden()
        expect(page.locator(".more summary")).to_be_focused()
