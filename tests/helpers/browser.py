"""The machine's own Chromium, driven by Playwright through a gateway that runs."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

PROGRAM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
PATIENCE_MS = 20_000
AXE_TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


@contextmanager
def chromium() -> Iterator["Browser"]:
    """A browser for as long as the block lasts."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Console:
    """A gateway, keys of people by name, and a browser to look at it with."""

    url: str
    browser: "Browser"
    keys: dict[str, str] = field(repr=False)
    complaints: list[str] = field(default_factory=list)
    """What pages wrote to their consoles as errors: a blocked script, say."""

    @contextmanager
    def visit(self, who: str | None, path: str = "/console", **options: Any) -> Iterator["Page"]:
        """A page in a browser of its own, at `path`, signed in as `who` by the keyboard."""
        context: BrowserContext = self.browser.new_context(base_url=self.url, **options)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._ours(request.url))
        try:
            page.goto(path)
            if who is not None:
                page.get_by_label("Key or token").fill(self.keys[who])
                page.keyboard.press("Enter")
                page.wait_for_url(lambda url: "sign-in" not in url)
            yield page
        finally:
            context.close()

    def _heard(self, kind: str, text: str) -> None:
        # A page that says what was refused comes with the status that says so too.
        if kind == "error" and not text.startswith("Failed to load resource: the server responded with a status of 4"):
            self.complaints.append(text)

    def _ours(self, url: str) -> None:
        if not url.startswith(self.url):
            self.complaints.append(f"asked for {url}")

    def api(self, who: str, method: str, path: str, **body: Any) -> httpx.Response:
        """The same gateway by its API."""
        headers = {"Authorization": f"Bearer {self.keys[who]}"}
        return httpx.request(method, self.url + path, headers=headers, timeout=60, **body)

    def submit(self, who: str, text: str, playbook: str = "lenient") -> str:
        """The id of a review that waits for a person."""
        given = self.api(who, "POST", "/v1/reviews", json={"text": text, "playbook": playbook, "ask": "May we sign?"})
        assert given.status_code == 202, given.text
        review_id: str = given.json()["review_id"]
        with httpx.stream(
            "GET",
            f"{self.url}/v1/reviews/{review_id}/events",
            headers={"Authorization": f"Bearer {self.keys[who]}"},
            timeout=60,
        ) as stream:
            for line in stream.iter_lines():
                assert line != "event: ended", "it ended before anybody was asked"
                if line.startswith("data:") and '"event": "waiting"' in line:
                    break
        return review_id

    def outcome(self, review_id: str) -> str | None:
        """How a review ended, by the API."""
        found: str | None = self.api("rita", "GET", f"/v1/reviews/{review_id}").json()["outcome"]
        return found


def barriers(page: "Page") -> list[str]:
    """What axe finds wrong with the page as it is shown."""
    from axe_playwright_python.base import AXE_SCRIPT

    page.evaluate(AXE_SCRIPT)
    found = page.evaluate(
        "(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})",
        list(AXE_TAGS),
    )
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
