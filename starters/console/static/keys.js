// Single keys as shortcuts. Off while somebody types, with a modifier held, and for good where they were switched off.
const OFF = "countersign-keys-off";

function isTyping(target) {
  return target.checkVisibility() && target.closest("input:not([type=checkbox]), textarea, select, dialog[open]") !== null;
}

function visible(selector) {
  return [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility());
}

export function say(words) {
  const news = document.getElementById("news");
  news.textContent = words;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { news.textContent = ""; }, 6000);
}

// Moves among `selector`'s elements, from the one that has the focus (or holds it), by `step`.
export function move(selector, step) {
  const all = visible(selector);
  if (!all.length) return null;
  const at = all.findIndex((element) => element === document.activeElement || element.contains(document.activeElement)
    || element.classList.contains("current"));
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, at + step))];
  all.forEach((element) => element.classList.toggle("current", element === next));
  next.focus();
  next.scrollIntoView({ block: "nearest" });
  return next;
}

const here = new Map();
// Has `key` do something on this page. What returns false lets the browser have the key.
export function on(key, action) {
  here.set(key, action);
}

export function keys() {
  const dialog = document.getElementById("keys");
  if (!dialog) return;
  const enabled = document.getElementById("keys-on");
  enabled.checked = localStorage.getItem(OFF) === null;
  enabled.addEventListener("change", () => {
    if (enabled.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "yes");
  });
  const hint = document.querySelector(".keys-hint");
  if (hint) hint.hidden = !enabled.checked;
  const rows = "[data-rows] > li > a";
  if (document.querySelector("[data-rows], [data-events$='queue/events']")) {
    on("j", () => { move(rows, 1); });
    on("k", () => { move(rows, -1); });
    for (const number of [1, 2, 3, 4, 5, 6]) on(String(number), () => document.querySelectorAll(".tabs a")[number - 1]?.click());
  }
  let waits = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === "Escape" && isTyping(event.target) && !dialog.open) { event.target.blur(); return; }
    if (isTyping(event.target)) return;
    if (event.key === "?") { event.preventDefault(); dialog.showModal(); return; }
    if (localStorage.getItem(OFF) !== null) return;
    if (Date.now() - waits < 1500) {
      waits = 0;
      const to = { q: "queue", r: "reviews" }[event.key];
      const link = to && document.querySelector(`.bar nav a[href$="/${to}"]`);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    if (event.key === "g") { waits = Date.now(); return; }
    const action = here.get(event.key);
    if (action && action() !== false) event.preventDefault();
  });
}
