"""Reviews signed in a browser: by keyboard alone, against a colleague, with a claim that lapses, without any script."""

from datetime import UTC, datetime

from helpers.browser import PATIENCE_MS, Console
from helpers.contracts import DUTIES, nda
from helpers.stack import until
from playwright.sync_api import expect


def test_one_item_is_asked_for_claimed_amended_and_signed_without_a_mouse(console: Console) -> None:
    with console.visit("ana") as ana:
        ana.get_by_role("link", name="Ask for a review").press("Enter")
        ana.get_by_label("Playbook").select_option("lenient")
        ana.get_by_label("What you want to know").fill("May we sign?")
        contract = {"name": "nda.md", "mimeType": "text/markdown", "buffer": nda("five (5) years").encode()}
        ana.get_by_label("Contract").set_input_files([contract])
        ana.get_by_role("button", name="Send").press("Enter")
        ana.wait_for_url("**/console/reviews/*")
        # By news alone.
        expect(ana.get_by_text("Waits for a signature")).to_be_visible(timeout=PATIENCE_MS)
        review_id = ana.url.rpartition("/")[2]
    with console.visit("rita") as page:
        keys = page.keyboard
        expect(page.get_by_role("heading", name="Queue", exact=True)).to_be_visible()
        # To the row of this review: the list is short, and its rows are links.
        row = page.locator(f"a[href$='{review_id}']")
        while not row.evaluate("row => row === document.activeElement"):
            keys.press("j")
        keys.press("Enter")
        expect(page.get_by_text("Nobody has claimed it")).to_be_visible()

        keys.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        keys.press("Escape")
        expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()

        keys.press("c")
        keys.press("Enter")
        expect(page.get_by_text("You have claimed it")).to_be_visible()

        keys.press("j")
        expect(page.locator(".finding").first).to_be_focused()
        keys.press("Enter")  # from the finding to its words in the document
        quoted = page.locator(".document a.mark:focus")
        expect(quoted).to_contain_text("five (5) years")
        keys.press("Enter")  # and back
        expect(page.locator(".finding").first).to_be_focused()
        keys.press("n")
        expect(page.locator(".document a.mark").first).to_be_focused()

        page.locator(".finding").first.focus()
        keys.press("e")
        expect(page.get_by_label("Severity of F1")).to_be_focused()
        keys.press("h")  # a choice of a list by its first letter: "High"
        keys.press("Tab")
        keys.press("Control+A")
        keys.type("Five years is longer than we give")
        keys.press("Escape")
        expect(page.locator("#changes")).to_have_text("1 change not signed yet")
        keys.press("t")
        keys.type("agreed with the client")
        keys.press("Escape")
        keys.press("s")
        expect(page.get_by_role("button", name="Sign with changes")).to_be_focused()
        keys.press("Enter")
        expect(page.get_by_role("heading", name="Signed with changes")).to_be_focused()

    status = console.api("rita", "GET", f"/v1/reviews/{review_id}").json()
    assert status["outcome"] == "amended"
    finding = next(one for one in status["analysis"]["key_findings"] if one["id"] == "F1")
    assert (finding["severity"], finding["statement"]) == ("high", "Five years is longer than we give")
    assert status["decision"]["note"] == "agreed with the client"
    assert status["decision"]["reviewer"] == "Rita Keller"


def test_of_two_reviewers_the_slower_one_is_told_and_keeps_what_they_typed(console: Console) -> None:
    review_id = console.submit("ana", nda())
    path = f"/console/reviews/{review_id}"
    with console.visit("rita", path) as rita, console.visit("sam", path) as sam:
        # Rita's page hears no news, as on a bad line.
        rita.evaluate("dispatchEvent(new Event('pagehide'))")
        rita.get_by_label("Note for the record").fill("three years is fine")
        sam.locator("[data-key=c]").click()
        expect(sam.get_by_text("You have claimed it")).to_be_visible()

        rita.get_by_role("button", name="Approve").click()
        expect(rita.get_by_role("alert")).to_contain_text("Sam Lindqvist was quicker")
        expect(rita.get_by_role("alert")).to_be_focused()
        assert console.outcome(review_id) is None

        sam.get_by_label("Note for the record").fill("mine")
        sam.get_by_role("button", name="Approve").click()
        expect(sam.get_by_role("heading", name="Approved")).to_be_visible()
        # By news, without anybody loading the page again.
        expect(rita.locator("#live-head")).to_contain_text("Approved")
    assert console.outcome(review_id) == "approved"


def test_an_amendment_by_another_is_shown_and_nothing_typed_is_lost(console: Console) -> None:
    review_id = console.submit("ana", nda("in perpetuity"), playbook="strict")
    path = f"/console/reviews/{review_id}"
    with console.visit("rita", path) as rita:
        rita.locator(".finding summary", has_text="Amend").first.click()
        rita.get_by_label("Statement of F1").fill("It never ends, which we do not give")
        edits = [{"action": "set", "finding_id": "F2", "severity": "medium"}]
        amended = console.api(
            "sam", "POST", f"/v1/reviews/{review_id}/decision", json={"verdict": "amend", "edits": edits}
        )
        assert amended.status_code == 200, amended.text

        expect(rita.get_by_role("heading", name="This review has changed")).to_be_visible()
        rita.get_by_role("button", name="Sign with changes").click()
        expect(rita.get_by_role("alert")).to_contain_text("Sam Lindqvist signed with changes")
        expect(rita.get_by_label("Statement of F1")).to_have_value("It never ends, which we do not give")
        # What Sam changed is shown as it stands now, not as Rita's wish to undo it.
        expect(rita.get_by_label("Severity of F2")).to_have_value("medium")
        expect(rita.locator("#changes")).to_have_text("1 change not signed yet")
        rita.get_by_role("button", name="Sign with changes").click()
        expect(rita.get_by_role("heading", name="Signed with changes")).to_be_visible()
        expect(rita.get_by_text("1 more signature")).to_be_visible()
    status = console.api("rita", "GET", f"/v1/reviews/{review_id}").json()
    assert [decision["edits"][0]["finding_id"] for decision in status["decisions"]] == ["F2", "F1"]


def test_a_lapsed_claim_is_refused_and_what_was_typed_is_kept_without_any_script(console: Console) -> None:
    review_id = console.submit("ana", nda("five (5) years"))
    with console.visit("rita", f"/console/reviews/{review_id}", java_script_enabled=False) as page:
        page.get_by_role("button", name="Claim").click()
        expect(page.get_by_text("You have claimed it")).to_be_visible()
        page.get_by_label("Note for the record").fill("took me a while")
        # The same person shortens it from elsewhere: the token stays, the time does not.
        shortened = console.api("rita", "POST", f"/v1/reviews/{review_id}/claim", json={"lease_s": 1})
        ends = datetime.fromisoformat(shortened.json()["until"])
        until("the claim has lapsed", lambda: datetime.now(UTC) > ends)
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_role("alert")).to_contain_text("Your claim lapsed")
        expect(page.get_by_label("Note for the record")).to_have_value("took me a while")
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_role("heading", name="Approved")).to_be_visible()
    assert console.outcome(review_id) == "approved"


def test_a_question_goes_to_the_requester_and_comes_back(console: Console) -> None:
    review_id = console.submit("ana", nda())
    path = f"/console/reviews/{review_id}"
    with console.visit("rita", path) as rita, console.visit("ana", "/console") as ana:
        rita.keyboard.press("q")
        rita.keyboard.type("Which of our companies signs?")
        rita.get_by_role("button", name="Send the question").click()
        expect(rita.get_by_role("heading", name="Asked")).to_be_visible()

        # Lists are read from the projection, which is written after the reviewer was answered.
        asked = ana.locator(f"a[href$='{review_id}']", has_text="waits for an answer")
        until("it waits for an answer", lambda: ana.reload() is not None and asked.is_visible())
        asked.click()
        expect(ana.get_by_text("Which of our companies signs?").first).to_be_visible()
        expect(ana.get_by_role("button", name="Approve")).to_have_count(0)
        ana.get_by_label("Your answer").fill("The Irish one")
        ana.get_by_role("button", name="Answer").click()
        expect(ana.get_by_text("Waits for a signature")).to_be_visible()

        rita.goto(path)
        expect(rita.locator("#live-history")).to_contain_text("The Irish one")
        rita.keyboard.press("r")
        expect(rita.get_by_role("button", name="Reject")).to_be_focused()
        rita.keyboard.press("Enter")
        expect(rita.get_by_role("heading", name="Rejected")).to_be_visible()
    assert console.outcome(review_id) == "rejected"


def test_an_effect_is_approved_another_declined_and_both_are_bound_to_what_was_shown(console: Console) -> None:
    review_id = console.submit("ana", DUTIES, playbook="dutiful")
    with console.visit("rita", f"/console/reviews/{review_id}") as page:
        page.get_by_label("Note for the record").fill("kept beside it")
        page.get_by_role("button", name="Approve E1").press("Enter")
        expect(page.locator("#E1")).to_contain_text("Approved; happens when the review is signed")
        expect(page.locator("#E1")).to_contain_text("Rita Keller")
        expect(page.get_by_label("Note for the record")).to_have_value("kept beside it")
        page.get_by_role("button", name="Decline E2").press("Enter")
        expect(page.locator("#E2")).to_contain_text("Will not happen")
        page.locator("#E1 .quotes a").click()
        expect(page.locator(".document a.mark:focus")).to_be_visible()
        page.keyboard.press("a")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Approved")).to_be_visible()
        page.goto(f"/console/reviews/{review_id}")
        expect(page.locator("#E1")).to_contain_text("Done")
