/* What a pointer or the keyboard does on a chart: a card with the exact figures of one bucket, and a drag that zooms.

   Our own card: Plotly's puts style attributes into its text, which the Content-Security-Policy forbids. The pad over the
   chart is a slider to a screen reader: arrow keys move over the buckets and each is read out. */
(() => {
  "use strict";
  const { figureOf, isChinese, isMoney, isRunning, stacks } = window.megadashCharts;
  const LEAST_DRAG_PX = 6;
  const GAP_PX = 18;
  const MOST_LINES = 24;
  const MOST_MARKS = 4;
  const NANO_A_USD = 1e9;

  function element(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  /* As usage/dashboard/formats.py writes them, digit for digit: the table says the same. Ties go to the even neighbour. */
  function even(count, unit) {
    const whole = Math.floor(count / unit);
    const rest = 2 * (count - whole * unit);
    return whole + (rest > unit || (rest === unit && whole % 2 === 1) ? 1 : 0);
  }
  function fixed(value, digits) {
    const isTie = Number.isInteger(value * 1024) && (value * 10 ** digits) % 1 === 0.5;
    return isTie ? (even(value * 10 ** digits * 2, 2) / 10 ** digits).toFixed(digits) : value.toFixed(digits);
  }
  /* Three significant digits below a dollar, cents from there on. */
  function money(value) {
    const nano = Math.round(Math.abs(value) * NANO_A_USD);
    if (nano === 0) return "$0";
    const decimals = nano >= NANO_A_USD ? 2 : Math.min(9, 2 - (String(nano).length - 10));
    const digits = String(even(nano, 10 ** (9 - decimals))).padStart(decimals + 1, "0");
    const [whole, rest] = [digits.slice(0, -decimals), digits.slice(-decimals)];
    return `${value < 0 ? "−" : ""}$${Number(whole).toLocaleString("en-US")}.${rest.replace(/0+$/, "").padEnd(2, "0")}`;
  }
  function duration(seconds) {
    if (seconds < 0.001) return `${fixed(seconds * 1000, 1)} ms`;
    if (seconds < 1) return `${even(Math.round(seconds * 1e6), 1000)} ms`;
    if (seconds < 60) return `${fixed(seconds, 2)} s`;
    const whole = even(Math.round(seconds * 1e6), 1e6);
    return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  }
  function amount(value, meta) {
    if (value === null || value === undefined) return "–";
    if (isMoney(meta)) return money(value);
    if (meta.unit === "duration") return value ? duration(value) : "0";
    if (meta.unit === "share") return value === 0 ? "0%" : value < 0.05 ? "<0.1%" : `${fixed(value, 1)}%`;
    return value.toLocaleString("en-US");
  }

  function moment(text, byHour) {
    const parts = byHour ? { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" } : { weekday: "short", day: "numeric", month: "short", year: "numeric" };
    return new Intl.DateTimeFormat(isChinese() ? "zh-CN" : "en-GB", { timeZone: "UTC", ...parts }).format(new Date(byHour ? `${text}Z` : text));
  }

  /* What the card says: [[name, value, swatch, kind]], the head first. */
  function told(figure, at) {
    const { meta } = figure.layout;
    const { x } = figure.data[0];
    const groups = figure.data.filter((trace) => !trace.meta.before && !trace.meta.estimated);
    const seen = groups.filter((trace) => (stacks(trace) ? trace.y[at] : (trace.y[at] ?? null) !== null)).reverse();
    // Lines have no order of their own but their height; what is stacked is told from the top.
    if (!stacks(groups[0])) seen.sort((one, other) => other.y[at] - one.y[at]);
    const sum = meta.totals ? meta.totals[at] : seen.filter(stacks).reduce((total, trace) => total + trace.y[at], 0);
    const growing = isRunning(figure) && at === x.length - 1 ? `, ${meta.soFar}` : "";
    const lines = [[(meta.buckets ? meta.buckets[at] : moment(x[at], meta.byHour)) + growing, amount(sum, meta), null, "tip-head"]];
    if (groups.length > 1 || !meta.totals) {
      lines.push(...seen.map((trace) => [trace.name, amount(trace.y[at], meta), `${trace.meta.colour} shade-${trace.meta.shade ?? 0}`, "tip-row"]));
    }
    for (const trace of figure.data.filter((each) => each.meta.estimated && each.y[at])) lines.push([trace.name, amount(trace.y[at], meta), "striped", "tip-row cut"]);
    for (const trace of figure.data.filter((each) => each.meta.before)) lines.push([trace.name, amount(trace.y[at], meta), "dots", "tip-row cut"]);
    const marks = (meta.marks ?? []).filter((each) => each.at === at).flatMap((each) => each.texts);
    lines.push(...marks.slice(0, MOST_MARKS).map((text, place) => [text, "", null, `tip-row tip-mark${place ? "" : " cut"}`]));
    if (marks.length > MOST_MARKS) lines.push([`+ ${marks.length - MOST_MARKS}`, "", null, "tip-row tip-mark"]);
    return lines;
  }

  function row([name, value, swatch, kind]) {
    const made = element("div", kind);
    if (swatch === "dots") made.append(element("i", "swatch-dots"));
    else if (swatch) made.append(element("i", `swatch ${swatch}`));
    const label = element("span", "");
    label.append(element("bdi", "", name));
    made.append(label, element("b", "", value));
    return made;
  }

  const part = (box, name) => box.querySelector(`:scope > .${name}`) || box.appendChild(element("div", name));
  const places = (box) => {
    const { xaxis, _size: size } = box._fullLayout;
    return figureOf(box).data[0].x.map((x) => size.l + xaxis.d2p(x));
  };

  function show(box, at) {
    const figure = figureOf(box);
    const lines = told(figure, at);
    const tip = part(box, "tip");
    tip.replaceChildren(...lines.slice(0, MOST_LINES).map(row));
    if (lines.length > MOST_LINES) tip.append(row([`+ ${lines.length - MOST_LINES}`, "", null, "tip-row"]));
    const rule = part(box, "tip-rule");
    // Shown before it is measured.
    box.classList.add("is-hovered");
    const size = box._fullLayout._size;
    const left = places(box)[at];
    const right = left + GAP_PX + tip.offsetWidth;
    tip.style.left = `${Math.max(0, right > box.clientWidth ? left - GAP_PX - tip.offsetWidth : left + GAP_PX)}px`;
    tip.style.top = `${size.t}px`;
    Object.assign(rule.style, { left: `${left}px`, top: `${size.t}px`, height: `${size.h}px` });
    const pad = part(box, "chart-pad");
    pad.dataset.at = at;
    pad.setAttribute("aria-valuenow", at);
    pad.setAttribute("aria-valuetext", lines.map(([name, value]) => `${name} ${value}`.trim()).join("; "));
  }

  const hide = (box) => box.classList.remove("is-hovered");

  function nearest(box, event) {
    const from = event.clientX - box.getBoundingClientRect().left;
    const distances = places(box).map((place) => Math.abs(place - from));
    return distances.indexOf(Math.min(...distances));
  }

  function zoom(box, first, last) {
    const figure = figureOf(box);
    const days = (at) => figure.layout.meta.days?.[at] ?? [0, 1].map(() => figure.data[0].x[at].slice(0, 10));
    const address = new URL(box.dataset.zoom, location.href);
    address.searchParams.delete("range");
    address.searchParams.set("from", days(first)[0]);
    address.searchParams.set("to", days(last)[1]);
    const asked = new CustomEvent("chart-zoom", { bubbles: true, cancelable: true, detail: { url: address.pathname + address.search } });
    // A page that can show it without leaving takes the event; from the others it leads to the explorer.
    if (box.dispatchEvent(asked)) location.assign(address);
  }

  /* A drag covers whole buckets. */
  function drag(box, pad) {
    let begun = null;
    const band = part(box, "chart-band");
    const draws = (event) => {
      const [first, last] = [begun.at, nearest(box, event)].sort((one, other) => one - other);
      const all = places(box);
      const half = all.length > 1 ? (all[1] - all[0]) / 2 : box._fullLayout._size.w / 2;
      const { t, h } = box._fullLayout._size;
      Object.assign(band.style, { left: `${all[first] - half}px`, width: `${all[last] - all[first] + 2 * half}px`, top: `${t}px`, height: `${h}px` });
      return [first, last];
    };
    pad.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch" || event.button !== 0) return;
      begun = { at: nearest(box, event), x: event.clientX };
      pad.setPointerCapture(event.pointerId);
    });
    pad.addEventListener("pointermove", (event) => {
      if (!begun || Math.abs(event.clientX - begun.x) < LEAST_DRAG_PX) return;
      box.classList.add("is-dragged");
      draws(event);
    });
    const end = (event) => {
      const isDragged = begun && box.classList.contains("is-dragged");
      box.classList.remove("is-dragged");
      if (isDragged && event.type === "pointerup") {
        const [first, last] = draws(event);
        hide(box);
        zoom(box, first, last);
      }
      begun = null;
    };
    pad.addEventListener("pointerup", end);
    pad.addEventListener("pointercancel", end);
  }

  function keys(box, pad) {
    pad.addEventListener("keydown", (event) => {
      const last = figureOf(box).data[0].x.length - 1;
      const at = Number(pad.dataset.at ?? last);
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowDown: at - 1, ArrowUp: at + 1, PageDown: at - 7, PageUp: at + 7, Home: 0, End: last }[event.key];
      if (event.key === "Escape") hide(box);
      if (event.key === "Enter" && box.dataset.zoom) zoom(box, at, at);
      if (to === undefined) return;
      event.preventDefault();
      show(box, Math.min(last, Math.max(0, to)));
    });
    pad.addEventListener("focus", () => { if (pad.matches(":focus-visible")) show(box, Math.min(figureOf(box).data[0].x.length - 1, Number(pad.dataset.at ?? Infinity))); });
    pad.addEventListener("blur", () => hide(box));
  }

  /* One flag a bucket, over its dotted line: what changed, on hover and on focus. */
  function flags(box) {
    const holder = part(box, "chart-flags");
    const { meta } = figureOf(box).layout;
    const all = places(box);
    const half = all.length > 1 ? (all[1] - all[0]) / 2 : 0;
    holder.replaceChildren(...(meta.marks ?? []).map(({ at, texts }) => {
      const flag = element("button", "chart-flag");
      flag.type = "button";
      flag.dataset.hint = texts.join("\n");
      flag.setAttribute("aria-label", `${meta.buckets[at]}: ${texts.join("; ")}`);
      flag.style.left = `${all[at] - half}px`;
      if (all[at] < box.clientWidth / 2) flag.classList.add("is-left");
      return flag;
    }));
  }

  function watch(box) {
    const figure = figureOf(box);
    if (!figure.data.length) return;
    const pad = part(box, "chart-pad");
    const { t, h, l, w } = box._fullLayout._size;
    Object.assign(pad.style, { top: `${t}px`, height: `${h}px`, left: `${l}px`, width: `${w}px` });
    const last = figure.data[0].x.length - 1;
    pad.setAttribute("aria-valuemax", last);
    if (Number(pad.dataset.at ?? 0) > last) delete pad.dataset.at;
    flags(box);
    if (pad.tabIndex === 0) return;
    pad.tabIndex = 0;
    pad.setAttribute("role", "slider");
    pad.setAttribute("aria-valuemin", 0);
    pad.setAttribute("aria-valuenow", last);
    pad.setAttribute("aria-label", box.getAttribute("aria-label"));
    // What is inside a picture is hidden from a screen reader; this one can be moved over.
    box.setAttribute("role", "group");
    if (box.dataset.zoom) {
      box.classList.add("has-zoom");
      drag(box, pad);
    }
    keys(box, pad);
    pad.addEventListener("pointermove", (event) => { if (!box.classList.contains("is-dragged")) show(box, nearest(box, event)); });
    pad.addEventListener("pointerdown", (event) => show(box, nearest(box, event)));
    pad.addEventListener("pointerleave", () => { if (document.activeElement !== pad) hide(box); });
    // Plotly draws again a moment after the window has another size, and only then knows where its bars are.
    box.on("plotly_afterplot", () => { if (box.isConnected) watch(box); });
  }

  document.addEventListener("chart-drawn", (event) => watch(event.target));
  window.addEventListener("resize", () => document.querySelectorAll(".is-hovered").forEach(hide));
})();
