/* Draws the figures that the server makes with Plotly. The server names colours; their values are the theme's. */
(() => {
  "use strict";
  const NARROW_PX = 768;
  const OPTIONS = { displayModeBar: false, responsive: true, doubleClick: false, scrollZoom: false };
  const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const faded = (hex, alpha) => hex + Math.round(alpha * 255).toString(16).padStart(2, "0");
  const drawn = new WeakMap();

  /* The last bar is still growing: outlined in its colour, filled with little of it. */
  function bar(trace) {
    const colour = theme(trace.meta.colour);
    const last = trace.x.length - 1;
    const by = (finished, growing) => trace.x.map((_, at) => (at === last ? growing : finished));
    return { ...trace, marker: { color: by(colour, faded(colour, 0.16)), line: { width: by(0.75, 1), color: by(theme("bg"), colour) } } };
  }

  function layout(figure) {
    const { meta, xaxis, yaxis } = figure.layout;
    const narrow = innerWidth < NARROW_PX;
    const x = figure.data[0]?.x ?? [];
    // Plotly reads wall-clock strings as if they were UTC; so do we.
    const at = (text) => Date.parse(text.length > 10 ? `${text}Z` : text);
    const day = document.documentElement.lang.startsWith("zh") ? "%-m月%-d日" : "%-d %b";
    return {
      ...figure.layout,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: theme("ink-3") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: narrow ? 44 : 52, r: 8, t: 22, b: 26 },
      dragmode: false, hoverdistance: -1,
      xaxis: { ...xaxis, tickformat: meta.byHour ? "%H:%M" : day, nticks: narrow ? 4 : 9, linecolor: theme("line-2"), ticks: "",
        range: x.length ? [at(x[0]) - meta.halfBar, at(x.at(-1)) + meta.halfBar] : undefined },
      yaxis: { ...yaxis, gridcolor: theme("line"), gridwidth: 1, tickformat: meta.money ? axisMoney(figure) : ",~s", tickfont: { size: 12 } },
      annotations: [{ x: 1, xref: "paper", y: 1.02, yref: "paper", xanchor: "right", yanchor: "bottom", text: meta.soFar, showarrow: false,
        font: { size: 11, color: theme("ink-2") } }],
    };
  }

  const top = (figure) => Math.max(0, ...(figure.data[0]?.x ?? []).map((_, at) => figure.data.reduce((sum, trace) => sum + trace.y[at], 0)));
  const axisMoney = (figure) => (top(figure) >= 5 ? ",~s" : top(figure) >= 0.05 ? ",.3~f" : ",.9~f");

  /* Three significant digits below a dollar, as everywhere. */
  function amount(value, isMoney) {
    if (!isMoney) return value.toLocaleString("en-US");
    if (value === 0) return "$0";
    const digits = value >= 1 ? { minimumFractionDigits: 2, maximumFractionDigits: 2 } : { maximumSignificantDigits: 3, minimumSignificantDigits: 2 };
    return `$${value.toLocaleString("en-US", digits)}`;
  }

  function moment(text, byHour) {
    const parts = byHour ? { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" } : { weekday: "short", day: "numeric", month: "short", year: "numeric" };
    const language = document.documentElement.lang.startsWith("zh") ? "zh-CN" : "en-GB";
    return new Intl.DateTimeFormat(language, { timeZone: "UTC", ...parts }).format(new Date(byHour ? `${text}Z` : text));
  }

  function element(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function line(className, name, value, swatch) {
    const row = element("div", className);
    if (swatch) row.append(element("i", `swatch ${swatch}`));
    row.append(element("span", "", name), element("b", "", value));
    return row;
  }

  /* Our own card: Plotly's puts style attributes into its text, which the Content-Security-Policy forbids. */
  function card(box, figure, at) {
    const { money, byHour, soFar } = figure.layout.meta;
    const tip = box.querySelector(".tip") || box.appendChild(element("div", "tip"));
    const rule = box.querySelector(".tip-rule") || box.appendChild(element("div", "tip-rule"));
    const { x } = figure.data[0];
    const used = figure.data.filter((trace) => trace.y[at]).reverse();
    const total = used.reduce((sum, trace) => sum + trace.y[at], 0);
    const when = moment(x[at], byHour) + (at === x.length - 1 ? `, ${soFar}` : "");
    tip.replaceChildren(line("tip-head", when, amount(total, money)),
      ...used.map((trace) => line("tip-row", trace.name, amount(trace.y[at], money), trace.meta.colour)));
    const { xaxis, _size: size } = box._fullLayout;
    const left = size.l + xaxis.d2p(x[at]);
    const right = left + 18 + tip.offsetWidth;
    tip.style.left = `${Math.max(0, right > box.clientWidth ? left - 18 - tip.offsetWidth : left + 18)}px`;
    tip.style.top = `${size.t}px`;
    rule.style.left = `${left}px`;
    rule.style.top = `${size.t}px`;
    rule.style.height = `${size.h}px`;
    box.classList.add("is-hovered");
  }

  function draw(box) {
    const figure = drawn.get(box);
    if (!figure || !box.isConnected) return;
    const isFirst = !box.classList.contains("is-drawn");
    if (isFirst) box.replaceChildren();
    box.classList.add("is-drawn");
    window.Plotly.react(box, figure.data.map(bar), layout(figure), OPTIONS);
    if (isFirst) {
      box.on("plotly_hover", (event) => card(box, drawn.get(box), event.points[0].pointIndex));
      box.on("plotly_unhover", () => box.classList.remove("is-hovered"));
    }
  }

  async function load(box) {
    const answer = await fetch(box.dataset.figure, { headers: { Accept: "application/json" } });
    if (!answer.ok || answer.redirected) return;
    drawn.set(box, await answer.json());
    draw(box);
  }

  const boxes = (within = document) => [...within.querySelectorAll("[data-figure]")];
  document.addEventListener("DOMContentLoaded", () => boxes().forEach(load));
  document.addEventListener("htmx:afterSettle", (event) => boxes(event.detail.elt).filter((box) => !drawn.has(box)).forEach(load));
  document.addEventListener("usage-changed", () => boxes().forEach(load));
  addEventListener("theme-changed", () => boxes().forEach(draw));
})();
