"""What surrounds a signature, in a browser: views first, second thoughts, delegates, leads, many at once."""

import re

import httpx
from helpers.browser import Console, barriers
from helpers.contracts import DUTIES, nda
from playwright.sync_api import expect


def test_a_view_is_stated_by_keyboard_before_the_confidence_is_shown_and_both_are_kept(console: Console) -> None:
    review_id = console.submit("ana", nda("five (5) years"), "blind")
    path = f"/console/reviews/{review_id}"
    api = f"/v1/reviews/{review_id}"
    hidden = console.api("rita", "GET", api).json()
    assert hidden["concealed"]
    assert "confidence" not in hidden["analysis"]
    assert all("confidence" not in finding for finding in hidden["analysis"]["key_findings"])
    assert not {"route_reasons", "evidence", "views"} & hidden.keys()
    assert console.api("rita", "POST", f"{api}/decision", json={"verdict": "approve"}).status_code == 409
    for found in (console.api("rita", "GET", "/v1/reviews"), console.api("rita", "GET", "/v1/queue")):
        row = next(one for one in found.json()["reviews"] if one["review_id"] == review_id)
        assert row["confidence"] is None
    assert "confidence" not in console.api("rita", "GET", f"{api}/trail").text
    assert "confidence" not in _events(console, review_id)

    with console.visit("rita", "/console/queue") as page:
        row = page.locator(f"li:has(a[href$='{review_id}'])")
        expect(row).to_contain_text("judged blind")
        expect(row).not_to_contain_text("% sure")
        page.goto(path)
        expect(page.get_by_role("heading", name="What would you do?")).to_be_visible()
        expect(page.locator("main")).not_to_contain_text("% sure")
        expect(page.get_by_role("button", name="Approve")).to_have_count(0)
        assert barriers(page) == []
        page.keyboard.press("r")
        expect(page.get_by_role("button", name="I would not sign")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#decide")).to_contain_text("You said that you would not sign")
        expect(page.locator("#decide")).to_contain_text("% sure")
        page.keyboard.press("a")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Approved")).to_be_focused()
        expect(page.locator("#decided")).to_contain_text("Before you knew how sure the machine is, you would not sign")
    status = console.api("rita", "GET", api).json()
    assert (status["decision"]["verdict"], status["decision"]["view"]) == ("approve", "reject")
    rows = {row["event"]: row["facts"] for row in console.api("rita", "GET", f"{api}/trail").json()["rows"]}
    assert rows["viewed"]["verdict"] == "reject"
    assert (rows["decided"]["view"], rows["decided"]["changed"]) == ("reject", True)
    assert rows["revealed"]["confidence"] == status["analysis"]["confidence"]


def _events(console: Console, review_id: str) -> str:
    """What the event stream says of a review up to where it waits."""
    said = []
    headers = {"Authorization": f"Bearer {console.keys['rita']}"}
    with httpx.stream("GET", f"{console.url}/v1/reviews/{review_id}/events", headers=headers, timeout=60) as stream:
        for line in stream.iter_lines():
            said.append(line)
            if '"event": "waiting"' in line:
                break
    return "\n".join(said)


def test_a_shadow_review_is_asked_for_and_judged_without_a_word_of_the_machine(console: Console) -> None:
    with console.visit("ana", "/console/submit") as ana:
        ana.get_by_label("Playbook").select_option("lenient")
        ana.get_by_label("Shadow review").check()
        contract = {"name": "nda.md", "mimeType": "text/markdown", "buffer": nda("five (5) years").encode()}
        ana.get_by_label("Contract").set_input_files([contract])
        ana.get_by_role("button", name="Send").click()
        expect(ana.get_by_text("Waits for a signature")).to_be_visible()
        review_id = ana.url.rpartition("/")[2]
    with console.visit("rita", "/console/queue") as page:
        row = page.locator(f"li:has(a[href$='{review_id}'])")
        expect(row).to_contain_text("judged blind")
        expect(row).not_to_contain_text(re.compile("sure|finding"))
        row.get_by_role("link").click()
        expect(page.get_by_text("What the agents found is not shown")).to_be_visible()
        expect(page.locator("main")).not_to_contain_text("% sure")
        assert barriers(page) == []
        page.get_by_role("button", name="Approve").click()
        expect(page.locator("#decided")).to_contain_text("nothing was released")
        page.get_by_role("link", name="Back to the review").click()
        expect(page.locator("#F1")).to_contain_text("% sure")
    assert console.outcome(review_id) == "shadowed"


def test_a_decision_is_withdrawn_while_the_time_for_second_thoughts_lasts(console: Console) -> None:
    review_id = console.submit("fay", nda("five (5) years"), "undoable")
    path = f"/console/reviews/{review_id}"
    with console.visit("eli", path) as eli, console.visit("lea", path) as lea:
        eli.get_by_role("button", name="Approve").click()
        expect(eli.locator("#decided")).to_contain_text("Until then you may withdraw it")
        eli.get_by_role("link", name="Back to the review").click()
        expect(eli.locator("#live-undo")).to_contain_text("min left")
        expect(lea.get_by_role("heading", name="Approved, not in effect yet")).to_be_visible()
        expect(lea.get_by_role("button", name="Withdraw it")).to_have_count(0)
        assert barriers(eli) == []
        eli.keyboard.press("w")
        expect(eli.get_by_role("button", name="Withdraw it")).to_be_focused()
        eli.keyboard.press("Enter")
        expect(eli.get_by_text("Waits for a signature")).to_be_visible()
        expect(eli.locator("#live-history")).to_contain_text("approved, and withdrew it later")
        expect(eli.get_by_role("button", name="Approve")).to_be_visible()


def test_a_delegate_signs_for_who_is_away_and_is_told_why_effects_are_not_theirs(console: Console) -> None:
    review_id = console.submit("fay", nda(), "undoable")
    with console.visit("dan", f"/console/reviews/{review_id}") as dan:
        expect(dan.get_by_label("Sign for")).to_have_value("Bo Winter")
        dan.get_by_role("button", name="Approve").click()
        expect(dan.get_by_role("heading", name="Approved")).to_be_visible()
    decision = console.api("eli", "GET", f"/v1/reviews/{review_id}").json()["decision"]
    assert (decision["reviewer"], decision["on_behalf_of"]) == ("Dan Ruiz", "Bo Winter")


def test_a_lead_gives_a_review_to_a_colleague_and_takes_it_back(console: Console) -> None:
    review_id = console.submit("fay", DUTIES, "undoable")
    path = f"/console/reviews/{review_id}"
    with console.visit("lea", path) as lea:
        expect(lea.get_by_text("others sign this review")).to_be_visible()
        lea.keyboard.press("m")
        lea.keyboard.press("Enter")
        lea.get_by_label("Colleague").select_option("Eli Brandt")
        lea.get_by_role("button", name="Assign").click()
        expect(lea.locator("#live-claim")).to_contain_text("Eli Brandt has claimed it")
        assert console.api("eli", "GET", f"/v1/reviews/{review_id}").json()["claimed_by"] == "Eli Brandt"
        with console.visit("dan", path) as dan:
            expect(dan.locator("#live-why")).to_contain_text("Eli Brandt has claimed it")
            expect(dan.get_by_role("button", name="Take back")).to_have_count(0)
        lea.get_by_role("button", name="Take back").click()
        expect(lea.locator("#live-claim")).not_to_contain_text("Eli Brandt has claimed it")


def test_several_are_signed_together_exactly_as_shown_and_the_rest_says_why(console: Console) -> None:
    alike = [console.submit("ana", nda(years), "bulky") for years in ("three (3) years", "five (5) years")]
    grave = console.submit("ana", nda("in perpetuity"), "bulky")
    with console.visit("rita", "/console/queue") as page:
        page.get_by_role("link", name="Sign several at once").click()
        page.get_by_label("Playbook").select_option("bulky")
        page.get_by_label("Nothing graver than").select_option("low")
        page.get_by_role("button", name="Show").click()
        for review_id in alike:
            expect(page.get_by_role("row", name=review_id)).to_be_visible()
        expect(page.get_by_role("row", name=grave)).to_have_count(0)
        page.get_by_text("left out").click()
        expect(page.locator("li", has_text=grave)).to_contain_text("a finding above low")
        assert barriers(page) == []
        # Somebody is quicker with one of them: nothing else is signed than what was shown.
        assert console.api("sam", "POST", f"/v1/reviews/{alike[0]}/claim").status_code == 200
        page.get_by_role("button", name="Sign exactly these 2").click()
        expect(page.get_by_role("alert")).to_contain_text("Nothing was signed")
        page.get_by_role("button", name="Sign exactly this one").press("Enter")
        expect(page.get_by_role("heading", name="1 review signed")).to_be_visible()
    assert [console.outcome(one) for one in (*alike, grave)] == [None, "approved", None]


def test_filters_stand_in_the_address_and_survive_news_without_moving_the_focus(console: Console) -> None:
    first = console.submit("ana", nda("five (5) years"), "strict")
    with console.visit("rita", "/console/queue?show=free&playbook=strict") as page:
        link = page.locator(f"a[href$='{first}']")
        link.focus()
        second = console.submit("ana", nda("five (5) years"), "strict")
        expect(page.locator(f"a[href$='{second}']")).to_be_visible()
        expect(link).to_be_focused()
        expect(page.get_by_label("Playbook")).to_have_value("strict")
        question = {"verdict": "ask", "question": "Who signs?"}
        assert console.api("sam", "POST", f"/v1/reviews/{first}/decision", json=question).status_code == 200
        expect(link).to_have_count(0)
        page.keyboard.press("6")
        expect(page.locator(f"a[href$='{first}']")).to_contain_text("the requester has not answered")
        assert "show=questions" in page.url
        assert "playbook=strict" in page.url
