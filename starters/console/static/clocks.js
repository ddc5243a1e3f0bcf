// Keeps `<time data-clock>` going, in the same words as views/clock.py.
const SOON_MS = { due: 4 * 3600e3, lease: 3 * 60e3 };

function span(ms) {
  const minutes = Math.floor(Math.abs(ms) / 60e3);
  const parts = [[Math.floor(minutes / 1440), "d"], [Math.floor(minutes / 60) % 24, "h"], [minutes % 60, "min"]];
  return parts.filter(([number]) => number).slice(0, 2).map(([number, unit]) => `${number} ${unit}`).join(" ") || "under 1 min";
}

function show(element, now) {
  const kind = element.dataset.clock;
  const left = Date.parse(element.dateTime) - now;
  const state = left <= 0 ? "late" : left <= SOON_MS[kind] ? "soon" : "ok";
  const words = kind === "due"
    ? (left > 0 ? `due in ${span(left)}` : `overdue by ${span(left)}`)
    : (left > 0 ? `${span(left)} left` : "has lapsed");
  if (element.textContent !== words) element.textContent = words;
  element.className = `clock ${state}`;
  if (kind === "lease" && left <= 0 && !element.dataset.told) {
    element.dataset.told = "yes";
    document.dispatchEvent(new CustomEvent("countersign:stale"));
  }
}

export function clocks() {
  const all = () => document.querySelectorAll("time[data-clock]").forEach((element) => show(element, Date.now()));
  all();
  setInterval(all, 1000);
}
