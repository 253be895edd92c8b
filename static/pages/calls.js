/* The call log's filters: a choice holds at once, without the button, and one menu is open at a time. */
(() => {
  "use strict";
  const AFTER_MS = 500;
  let timer = 0;
  document.addEventListener("change", (event) => {
    const form = event.target.closest("#filters");
    if (!form || !event.target.matches("select, [type=checkbox]")) return;
    clearTimeout(timer);
    // Several boxes of a menu are one question.
    timer = setTimeout(() => form.requestSubmit(), event.target.type === "checkbox" ? AFTER_MS * 3 : 0);
  });
  /* An address without the fields that nobody filled in. */
  document.addEventListener("submit", (event) => {
    // By its attribute: the form has a field named "id".
    if (!event.target.matches("#filters")) return;
    for (const field of event.target.elements) if (field.name && field.value === "") field.disabled = true;
  });
  addEventListener("pageshow", () => {
    for (const field of document.getElementById("filters")?.elements ?? []) field.disabled = false;
  });
  document.addEventListener("click", (event) => {
    for (const open of document.querySelectorAll("details.menu-of[open]")) if (!open.contains(event.target)) open.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const open = event.target.closest?.("details.menu-of[open]");
    if (event.key !== "Escape" || !open) return;
    open.open = false;
    open.querySelector("summary").focus();
  });
})();
