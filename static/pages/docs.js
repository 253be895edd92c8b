/* The section that is being read, in the list at the side; copying the address of a section. */
(() => {
  "use strict";
  const links = [...document.querySelectorAll(".docs-toc a")];
  const headings = links.map((link) => document.getElementById(link.hash.slice(1)));

  function mark() {
    // The last heading above the upper third of the window; at the end of the page, the last of all.
    const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
    const above = headings.filter((heading) => heading.getBoundingClientRect().top < innerHeight / 3);
    const here = atEnd && scrollY > 0 ? headings.at(-1) : above.at(-1) ?? headings[0];
    links.forEach((link, at) => {
      link.classList.toggle("is-here", headings[at] === here);
      if (headings[at] === here) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  }
  let isAsked = false;
  addEventListener("scroll", () => {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => {
      isAsked = false;
      mark();
    });
  }, { passive: true });
  if (links.length) mark();

  document.addEventListener("click", async (event) => {
    const anchor = event.target.closest(".anchor");
    if (!anchor || !navigator.clipboard) return;
    try {
      await navigator.clipboard.writeText(anchor.href);
      anchor.classList.add("is-copied");
    } catch {
      // The address bar shows it.
    }
  });
})();
