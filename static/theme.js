/* Before the first paint, so that no page flashes in the wrong theme: the remembered one, or the system's. */
(() => {
  "use strict";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // Storage is switched off: the system's theme it is.
  }
  const show = () => {
    root.dataset.bsTheme = chosen || (system.matches ? "dark" : "light");
    dispatchEvent(new Event("theme-changed"));
  };
  root.dataset.script = "on";
  system.addEventListener("change", show);
  show();

  addEventListener("click", (event) => {
    if (!event.target.closest("[data-switch-theme]")) return;
    chosen = root.dataset.bsTheme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("theme", chosen);
    } catch {
      // Not remembered, but shown.
    }
    show();
  });
})();
