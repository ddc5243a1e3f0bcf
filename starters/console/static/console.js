// What every page has: clocks that go on, keys, news. A page does all it can do without any of it.
import { clocks } from "./clocks.js";
import { keys } from "./keys.js";
import { live } from "./live.js";
import { review } from "./review.js";

document.documentElement.classList.add("js");
for (const form of document.querySelectorAll("form[data-auto]")) {
  form.addEventListener("change", () => form.requestSubmit());
}
// The menu closes as menus do; by its own summary it opens and closes without any of this.
const menu = document.querySelector("[data-menu]");
document.addEventListener("click", (event) => { if (menu?.open && !menu.contains(event.target)) menu.open = false; });
menu?.addEventListener("focusout", (event) => { if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false; });
menu?.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu.open) { menu.open = false; menu.querySelector("summary").focus(); }
});
document.querySelector("[data-focus]")?.focus();
clocks();
keys();
review();
live();
