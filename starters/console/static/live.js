// News by server-sent events. The page is asked for again, and only those parts replaced that nobody types into.
import { say } from "./keys.js";
import { touched } from "./review.js";

// Where this page is to be had. After a decision that was refused it is not where the browser thinks.
function address() {
  return document.getElementById("review")?.dataset.page ?? location.pathname + location.search;
}

// The page as it is now, parsed but not run: a document from a request is no way for text to become script.
function fetchPage() {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", address());
    request.responseType = "document";
    request.setRequestHeader("Accept", "text/html");
    request.onload = () => (request.status === 200 && request.response ? resolve(request.response) : reject(new Error(`${request.status}`)));
    request.onerror = () => reject(new Error("away"));
    request.send();
  });
}

function replace(page) {
  for (const fresh of page.querySelectorAll("[data-live]")) {
    const old = document.getElementById(fresh.id);
    if (!old || old.isEqualNode(fresh)) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const at = [...old.querySelectorAll("a, button, summary")].indexOf(focused);
    const current = old.querySelector(".current")?.getAttribute("href");
    const opened = [...old.querySelectorAll("details")].map((details) => details.open);
    old.replaceWith(document.adoptNode(fresh));
    fresh.querySelectorAll("details").forEach((details, number) => { details.open = opened[number] ?? details.open; });
    const same = (href) => href && [...fresh.querySelectorAll("a")].find((link) => link.getAttribute("href") === href);
    same(current)?.classList.add("current");
    // By where it leads: rows come and go above the one somebody is at.
    if (focused) (same(focused.getAttribute("href")) ?? [...fresh.querySelectorAll("a, button, summary")][at])?.focus();
  }
}

async function renew() {
  const page = await fetchPage();
  const mine = document.getElementById("review");
  const theirs = page.getElementById("review");
  if (mine && theirs) {
    const sameVersion = mine.dataset.digest === theirs.dataset.digest && mine.dataset.outcome === theirs.dataset.outcome;
    // Buttons appear and go with the claim; without them on both sides, the whole page has changed its shape.
    const sameShape = !document.getElementById("decide") === !page.getElementById("decide")
      && !document.getElementById("decision") === !page.getElementById("decision");
    if (!(sameVersion && sameShape)) {
      if (touched()) {
        if (sameVersion) say("Who has claimed this review has changed");
        else document.getElementById("newer").hidden = false;
        replaceHead(page);
      } else {
        location.replace(address());
      }
      return;
    }
  }
  replace(page);
}

// While something is typed into a page that has changed its shape, only its head tells the news.
function replaceHead(page) {
  for (const id of ["live-head", "live-history"]) {
    const fresh = page.getElementById(id);
    const old = document.getElementById(id);
    if (fresh && old && !old.isEqualNode(fresh)) old.replaceWith(document.adoptNode(fresh));
  }
}

export function live() {
  const source = document.querySelector("[data-events]");
  if (!source) return;
  let due = 0;
  const soon = () => {
    clearTimeout(due);
    due = setTimeout(() => renew().catch((error) => { if (error.message === "401") signedOut(); }), 150);
  };
  const signedOut = () => { events.close(); say("You have been signed out"); };
  const after = source.dataset.after;
  const events = new EventSource(source.dataset.events + (after ? `?after=${after}` : ""));
  let first = !after;
  events.addEventListener("stage", soon);
  events.addEventListener("waiting", soon);
  events.addEventListener("changed", () => { if (!first) soon(); first = false; });
  events.addEventListener("ended", () => { events.close(); if (!source.dataset.outcome) soon(); });
  events.addEventListener("signed-out", signedOut);
  document.addEventListener("countersign:stale", soon);
  addEventListener("pagehide", () => events.close());
}
