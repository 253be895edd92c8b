/* The exact numbers of a minute, beside the pointer, on each of the charts at once. They are read from the table. */
(() => {
  "use strict";
  const LEFT_PX = 38;
  const charts = () => [...document.querySelectorAll(".minutes")];

  function element(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  }

  function part(chart, name) {
    return chart.querySelector(`:scope > .${name}`) || chart.appendChild(element("div", name, ""));
  }

  function show(chart, at, rows) {
    const cells = rows[at].cells;
    const headings = document.querySelectorAll("#minutes thead th");
    const tip = part(chart, "tip");
    const rule = part(chart, "tip-rule");
    const column = Number(chart.dataset.column);
    const line = (name, value, className) => {
      const row = element("div", className, "");
      row.append(element("span", "", name), element("b", "", value));
      return row;
    };
    // Where nothing is known the cell holds a dash and its reason.
    const text = (cell) => (cell.querySelector(".unknown") ? "–" : cell.textContent.trim());
    const lines = [line(cells[0].textContent.trim(), text(cells[column]), "tip-head")];
    if (!["0", "–"].includes(text(cells[4]))) lines.push(line(headings[4].textContent, text(cells[4]), "tip-row"));
    tip.replaceChildren(...lines);
    // Shown before it is measured.
    chart.classList.add("is-hovered");
    const wide = chart.clientWidth - LEFT_PX;
    const x = LEFT_PX + (wide * (at + 0.5)) / rows.length;
    tip.style.left = `${Math.max(0, x + 14 + tip.offsetWidth > chart.clientWidth ? x - 14 - tip.offsetWidth : x + 14)}px`;
    tip.style.top = "14px";
    rule.style.left = `${x}px`;
    rule.style.top = "14px";
    rule.style.height = "96px";
  }

  document.addEventListener("pointermove", (event) => {
    const chart = event.target.closest?.(".minutes");
    const rows = document.querySelectorAll("#minutes tbody tr");
    if (!chart || !rows.length) {
      for (const other of charts()) other.classList.remove("is-hovered");
      return;
    }
    const box = chart.getBoundingClientRect();
    const at = Math.floor(((event.clientX - box.left - LEFT_PX) / (box.width - LEFT_PX)) * rows.length);
    for (const other of charts()) show(other, Math.min(rows.length - 1, Math.max(0, at)), [...rows]);
  });
})();
