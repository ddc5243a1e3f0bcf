// A review's page: from finding to quotation and back, and to the controls, by keys.
import { move, on, say } from "./keys.js";

const FINDING = ".left .finding";
const MARK = ".document [data-mark]";

// What the reader has before them: the finding that has the focus, or was moved to last.
function current() {
  return document.activeElement?.closest(".finding") ?? document.querySelector(".finding.current") ?? document.querySelector(FINDING);
}

function open(element) {
  for (let details = element.closest("details"); details; details = details.parentElement.closest("details")) details.open = true;
}

function show(id) {
  let element = id && document.getElementById(decodeURIComponent(id));
  // Where several quotations begin at once, one of them is the link and the others stand before it.
  while (element?.matches("span:empty")) element = element.nextElementSibling;
  if (!element) return false;
  open(element);
  document.querySelectorAll(".current").forEach((other) => other.classList.remove("current"));
  element.classList.add("current");
  element.focus({ preventScroll: true });
  element.scrollIntoView({ block: element.matches("[data-mark]") ? "center" : "nearest" });
  return true;
}

function reach(id, otherwise) {
  const element = document.getElementById(id);
  if (!element) { say(otherwise); return; }
  open(element);
  element.focus();
  element.scrollIntoView({ block: "nearest" });
}

function press(key, otherwise) {
  const element = document.querySelector(`[data-key="${key}"]`);
  if (!element) { say(otherwise); return; }
  element.focus();
  element.scrollIntoView({ block: "nearest" });
}

// How many findings the fields would change; said beside the buttons, and shown on the cards.
function count() {
  let changed = 0;
  for (const card of document.querySelectorAll(".finding")) {
    const fields = card.querySelectorAll("select, textarea, input[type=checkbox]");
    const differs = [...fields].some((field) => field.type === "checkbox" ? field.checked
      : field.tagName === "SELECT" ? !field.selectedOptions[0]?.defaultSelected : field.value.trim() !== field.defaultValue.trim());
    const kept = card.querySelector("details.edit")?.dataset.kept === "yes";
    card.classList.toggle("changed", differs || kept);
    changed += differs || kept ? 1 : 0;
  }
  changed += [...document.querySelectorAll(".add textarea")].filter((field) => field.value.trim()).length;
  const words = document.getElementById("changes");
  if (words) words.textContent = changed ? `${changed} ${changed === 1 ? "change" : "changes"} not signed yet` : "";
  document.getElementById("approve")?.classList.toggle("primary", !changed);
  document.getElementById("amend")?.classList.toggle("primary", changed > 0);
  return changed;
}

export function touched() {
  const typed = [...document.querySelectorAll("#note, #ask-text, #answer")].some((field) => field.value !== "");
  return typed || document.querySelector(".finding.changed") !== null || document.querySelector("details.edit[open]") !== null;
}

export function review() {
  if (!document.getElementById("review")) return;
  // Values that came back with the page count as changes, though they are the fields' defaults.
  for (const card of document.querySelectorAll(".finding.changed details.edit")) card.dataset.kept = "yes";
  count();
  document.addEventListener("input", count);
  document.addEventListener("click", (event) => {
    const link = event.target.closest(".quotes a, .document a[data-mark], a.to-mark");
    if (link && show(link.hash.slice(1))) event.preventDefault();
  });
  if (location.hash) show(location.hash.slice(1));
  on("j", () => { move(FINDING, 1); });
  on("k", () => { move(FINDING, -1); });
  on("n", () => { move(MARK, 1); });
  on("p", () => { move(MARK, -1); });
  on("Enter", () => {
    const finding = document.activeElement?.classList.contains("finding") ? document.activeElement : null;
    const quote = finding?.querySelector(".quotes a");
    return quote ? show(quote.hash.slice(1)) : false;
  });
  on("e", () => {
    const field = current()?.querySelector("details.edit select");
    if (!field) { say("There is nothing to edit here"); return; }
    open(field);
    field.focus();
    field.scrollIntoView({ block: "nearest" });
  });
  on("o", () => {
    const folds = [...(current()?.querySelectorAll("details:not(.edit)") ?? [])];
    if (!folds.length) { say("There is nothing folded away here"); return; }
    const opened = folds.every((details) => details.open);
    folds.forEach((details) => { details.open = !opened; });
  });
  on("a", () => press("a", "You cannot decide this review"));
  on("s", () => press("s", "You cannot decide this review"));
  on("r", () => press("r", "You cannot decide this review"));
  on("w", () => press("w", "There is nothing that you could withdraw"));
  on("m", () => press("m", "You cannot give this review to somebody"));
  on("c", () => press("c", "You cannot claim this review"));
  on("t", () => reach("note", "You cannot decide this review"));
  on("q", () => reach("ask-text", "You cannot ask about this review"));
}
