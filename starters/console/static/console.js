// What every page has: clocks that go on, keys, news. A page does all it can do without any of it.
import { clocks } from "./clocks.js";
import { keys } from "./keys.js";
import { live } from "./live.js";
import { review } from "./review.js";

document.documentElement.classList.add("js");
for (const form of document.querySelectorAll("form[data-auto]")) {
  form.addEventListener("change", () => form.requestSubmit());
}
document.querySelector("[data-focus]")?.focus();
clocks();
keys();
review();
live();
