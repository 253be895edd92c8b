/* What a page does besides links and forms: live parts, dialogs, tabs, copying, menus. No inline handlers. */
(() => {
  "use strict";
  const ONE_TICK_MS = 1000;
  // A slow server is asked less often: at most a fifth of the time is spent answering one open page.
  const REST_FACTOR = 4;
  // A page that is left only for a file to be saved stays, and goes on after this.
  const LEAVING_MS = 5000;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  /* Live parts listen for "tick" on the body. A hidden tab asks nothing and catches up when it is looked at again. */
  let pause = ONE_TICK_MS;
  let timer = 0;
  let askedAt = 0;
  let leftAt = -Infinity;
  const isLeft = () => performance.now() - leftAt < LEAVING_MS;
  function tick() {
    clearTimeout(timer);
    if (document.visibilityState !== "visible") return;
    if (!isLeft()) document.body.dispatchEvent(new CustomEvent("tick"));
    timer = setTimeout(tick, pause);
  }
  /* News of a page that is being left may say "load me again": that would take the place of the page asked for. */
  addEventListener("beforeunload", () => { leftAt = performance.now(); });
  addEventListener("pageshow", () => { leftAt = -Infinity; });
  document.addEventListener("htmx:beforeOnLoad", (event) => {
    if (isLeft() && event.detail.elt.matches("[hx-trigger^=tick]")) event.preventDefault();
  });
  document.addEventListener("visibilitychange", tick);
  document.addEventListener("htmx:beforeRequest", () => { askedAt = performance.now(); });
  document.addEventListener("htmx:afterRequest", (event) => {
    pause = Math.max(ONE_TICK_MS, REST_FACTOR * (performance.now() - askedAt));
    const pulse = document.getElementById("pulse");
    if (pulse) pulse.classList.toggle("is-stale", !event.detail.successful);
  });

  /* Dialogs: a link with hx-target="#dialog" fills it, and it opens. Without script the link is a page of its own. */
  document.addEventListener("htmx:afterSwap", (event) => {
    const dialog = document.getElementById("dialog");
    if (dialog && event.detail.target === dialog && !dialog.open) dialog.showModal();
  });
  document.addEventListener("click", (event) => {
    const closer = event.target.closest("[data-close]");
    const dialog = event.target.closest("dialog");
    if (dialog && closer && !closer.hasAttribute("data-leave")) {
      event.preventDefault();
      dialog.close();
    }
  });

  /* A secret that is shown once must not vanish by a slip of the Escape key. */
  document.addEventListener("cancel", (event) => {
    if (event.target.querySelector?.("[data-secret]")) event.preventDefault();
  }, true);

  function choose(tab) {
    for (const other of all("[role=tab]", tab.closest("[role=tablist]"))) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", chosen);
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
  }

  /* Who reads samples for one SDK reads them for it on every page: the choice is remembered, and holds in each row of tabs. */
  const SDK = "sdk";
  function chooseSdk(sdk) {
    for (const tab of all("[data-sdk]")) if (tab.dataset.sdk === sdk) choose(tab);
  }
  function pick(tab) {
    choose(tab);
    if (!tab.dataset.sdk) return;
    const before = tab.getBoundingClientRect().top;
    chooseSdk(tab.dataset.sdk);
    // Samples above have another length now; what is being looked at stays where it is.
    scrollBy(0, tab.getBoundingClientRect().top - before);
    try {
      localStorage.setItem(SDK, tab.dataset.sdk);
    } catch {
      // Not remembered, but shown.
    }
  }
  function chooseRememberedSdk() {
    try {
      chooseSdk(localStorage.getItem(SDK));
    } catch {
      // Storage is switched off: the first one it is.
    }
  }
  document.addEventListener("DOMContentLoaded", chooseRememberedSdk);
  document.addEventListener("htmx:afterSwap", chooseRememberedSdk);

  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest?.("[role=tab]");
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!tab || !step) return;
    const tabs = all("[role=tab]", tab.closest("[role=tablist]"));
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    pick(next);
    next.focus();
  });

  async function copy(button) {
    const text = document.getElementById(button.dataset.copy).textContent;
    const label = button.querySelector("span");
    try {
      await navigator.clipboard.writeText(text);
      label.textContent = button.dataset.done;
    } catch {
      // No clipboard without HTTPS: the text is selected instead, ready for Ctrl-C.
      getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    }
  }

  document.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) pick(tab);
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
    const menu = event.target.closest("[data-menu]");
    if (menu) menu.setAttribute("aria-expanded", document.body.classList.toggle("menu-open"));
    for (const open of all("details.switch[open]")) if (!open.contains(event.target)) open.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const open of all("details.switch[open]")) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  });

  /* Find in a list that is already here. */
  document.addEventListener("input", (event) => {
    if (!event.target.matches("[data-find]")) return;
    const wanted = event.target.value.trim().toLowerCase();
    for (const row of all(event.target.dataset.find)) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });

  document.addEventListener("DOMContentLoaded", () => { timer = setTimeout(tick, ONE_TICK_MS); });
})();
