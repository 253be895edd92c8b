/* The explorer's own: open menus survive an update, a drag over the chart asks again, a part that failed can be asked again. */
(() => {
  "use strict";
  const main = () => document.getElementById("main");
  let opened = [];
  let isUnfolded = false;

  /* The page is drawn anew with each choice; what was open stays open, except menus whose choice was just made. */
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target !== main()) return;
    opened = [...document.querySelectorAll("details.by-bucket[open]")].map((each) => each.id);
    isUnfolded = document.getElementById("controls")?.classList.contains("is-unfolded") ?? false;
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target?.id === "dialog") document.querySelectorAll("details.switch[open]").forEach((menu) => { menu.open = false; });
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    opened = [];
    const controls = document.getElementById("controls");
    if (controls && isUnfolded) fold(controls, true);
    isUnfolded = false;
  });

  function fold(controls, isOpen) {
    controls.classList.toggle("is-unfolded", isOpen);
    controls.querySelector("[data-fold]").setAttribute("aria-expanded", isOpen);
  }
  document.addEventListener("click", (event) => {
    const folder = event.target.closest("[data-fold]");
    if (folder) {
      const controls = document.getElementById(folder.dataset.fold);
      fold(controls, !controls.classList.contains("is-unfolded"));
    }
    const again = event.target.closest("[data-again]");
    if (again) ask(again.closest("[hx-get]"));
  });

  function ask(part) {
    part.querySelector(".part-failed")?.remove();
    const options = Object.fromEntries(["target", "select", "swap"].map((name) => [name, part.getAttribute(`hx-${name}`) ?? undefined]));
    window.htmx.ajax("GET", part.getAttribute("hx-get"), { source: part, ...options, target: options.target ?? part });
  }

  document.addEventListener("chart-zoom", (event) => {
    event.preventDefault();
    window.htmx.ajax("GET", event.detail.url, { source: event.target, target: "#main", select: "#main", swap: "outerHTML show:none" });
  });

  document.addEventListener("dblclick", (event) => {
    if (event.target.closest(".chart-pad")) document.getElementById("wider")?.click();
  });

  function failed(event) {
    const template = document.getElementById("part-failed");
    const part = event.detail.elt.closest?.("#why, #by-bucket") ?? document.getElementById("explored");
    if (!template || !part || part.querySelector(":scope > .part-failed")) return;
    const note = template.content.cloneNode(true);
    if (part.id === "explored") note.querySelector("[data-again]").remove();
    part.querySelector(".waterfall-wait")?.remove();
    // Where it is seen: above what is still the old answer, or in place of the part.
    if (part.id === "explored") part.prepend(note);
    else part.append(note);
  }
  document.addEventListener("htmx:responseError", failed);
  document.addEventListener("htmx:sendError", failed);
})();
