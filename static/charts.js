/* Draws the figures that the server makes with Plotly. The server names colours; their values are the theme's.

   A figure's buckets stand at dates (x is text) or are numbered (x counts from 0, `meta.ticks` says what stands below).
   chart_card.js adds what a pointer or the keyboard does; it finds the drawn figures in `megadashCharts`. */
(() => {
  "use strict";
  const NARROW_PX = 768;
  const OPTIONS = { displayModeBar: false, responsive: true, doubleClick: false, scrollZoom: false, staticPlot: false };
  const TICK_PX = 64;
  // How much of a colour is left in the shades of its subgroups.
  const SHADES = [1, 0.68, 0.44, 0.26];
  const theme = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const faded = (hex, alpha) => hex + Math.round(alpha * 255).toString(16).padStart(2, "0");
  const drawn = new WeakMap();
  const isChinese = () => document.documentElement.lang.startsWith("zh");
  const isNumbered = (figure) => Boolean(figure.layout.meta.ticks);
  const isRunning = (figure) => figure.layout.meta.running ?? true;

  function channels(hex) {
    const full = hex.length === 4 ? hex.replace(/[^#]/g, "$&$&") : hex;
    return [1, 3, 5].map((at) => parseInt(full.slice(at, at + 2), 16));
  }

  /* Opaque, so that no grid line shines through. */
  function colourOf({ colour, shade = 0 }) {
    const [full, ground, share] = [channels(theme(colour)), channels(theme("bg")), SHADES[shade] ?? 1];
    return `#${full.map((value, at) => Math.round(value * share + ground[at] * (1 - share)).toString(16).padStart(2, "0")).join("")}`;
  }

  /* The last bar is still growing: outlined in its colour, filled with little of it. */
  function bar(trace, figure) {
    if (trace.meta.estimated) return { ...trace, marker: { color: "rgba(0,0,0,0)", line: { width: 0 }, pattern: { shape: "/", fillmode: "overlay", fgcolor: theme("bg"), size: 5, solidity: 0.4 } } };
    const colour = colourOf(trace.meta);
    const last = isRunning(figure) ? trace.x.length - 1 : -1;
    const edge = trace.x.length > 120 ? 0 : 0.75;
    const by = (finished, growing) => trace.x.map((_, at) => (at === last ? growing : finished));
    return { ...trace, marker: { color: by(colour, faded(colour, 0.16)), line: { width: by(edge, 1), color: by(theme("bg"), colour) } } };
  }

  function line(trace) {
    if (trace.meta.before) return { ...trace, line: { ...trace.line, color: theme("ink"), width: 1.25, dash: "1.5px,2.5px" } };
    const colour = colourOf(trace.meta);
    if (trace.meta.area) return { ...trace, line: { color: colour, width: 0.75 }, fillcolor: faded(colour, 0.82) };
    return { ...trace, line: { color: colour, width: 1.75 }, marker: { color: colour, size: trace.x.length > 60 ? 3 : 5 } };
  }

  const styled = (figure) => figure.data.map((trace) => (trace.type === "scatter" ? line(trace) : bar(trace, figure)));

  /* What still runs is veiled in areas and lines, which have no outline to show it by. */
  function veil(figure) {
    const x = figure.data[0]?.x ?? [];
    if (!isNumbered(figure) || !isRunning(figure) || x.length < 2 || figure.data[0].type === "bar") return [];
    return [{ type: "rect", xref: "x", x0: x.length - 2, x1: x.length - 0.5, yref: "paper", y0: 0, y1: 1, line: { width: 0 },
      fillcolor: faded(theme("bg"), 0.55), layer: "above" }];
  }

  /* A dotted line where a bucket saw a change; what changed stands in the card, on its flag and in the list below. */
  function marks(figure) {
    return (figure.layout.meta.marks ?? []).map(({ at }) => ({ type: "line", x0: at - 0.5, x1: at - 0.5, yref: "paper", y0: 0, y1: 1.02,
      line: { color: theme("ink-3"), width: 1, dash: "2px,2px" }, layer: "above" }));
  }

  function xaxis(figure, box, narrow) {
    const { meta, xaxis: given } = figure.layout;
    const x = figure.data[0]?.x ?? [];
    const common = { ...given, linecolor: theme("line-2"), ticks: "" };
    if (isNumbered(figure)) {
      const step = Math.ceil(meta.ticks.length / Math.max(2, Math.floor(box.clientWidth / TICK_PX)));
      const shown = meta.ticks.filter((_, at) => at % step === 0);
      return { ...common, tickvals: shown.map(([at]) => at), ticktext: shown.map(([, text]) => text), range: [-0.5, x.length - 0.5] };
    }
    // Plotly reads wall-clock strings as if they were UTC; so do we.
    const at = (text) => Date.parse(text.length > 10 ? `${text}Z` : text);
    return { ...common, tickformat: meta.byHour ? "%H:%M" : isChinese() ? "%-m月%-d日" : "%-d %b", nticks: narrow ? 4 : 9,
      range: x.length ? [at(x[0]) - meta.halfBar, at(x.at(-1)) + meta.halfBar] : undefined };
  }

  const isMoney = ({ unit, money }) => money ?? unit === "money";
  function yaxis(figure) {
    const { meta, yaxis: given } = figure.layout;
    const axis = { ...given, gridcolor: theme("line"), gridwidth: 1, tickfont: { size: 12 } };
    if (isMoney(meta)) return { ...axis, tickprefix: "$", tickformat: axisMoney(figure) };
    if (meta.unit === "share") return { ...axis, ticksuffix: "%", tickformat: ",~r" };
    if (meta.unit === "duration") return { ...axis, ticksuffix: " s", tickformat: ",~r" };
    return { ...axis, tickformat: ",~s" };
  }
  const stacks = (trace) => (trace.type === "bar" && !trace.meta.estimated) || trace.meta.area;
  function top(figure) {
    const { x = [] } = figure.data[0] ?? {};
    const stacked = figure.data.filter(stacks);
    const single = figure.data.filter((trace) => !stacks(trace) && !trace.meta.estimated).flatMap((trace) => trace.y);
    return Math.max(0, ...single, ...x.map((_, at) => stacked.reduce((sum, trace) => sum + trace.y[at], 0)));
  }
  const axisMoney = (figure) => (top(figure) >= 5 ? ",~s" : top(figure) >= 0.05 ? ",.3~f" : ",.9~f");

  function layout(figure, box) {
    const { meta } = figure.layout;
    const narrow = innerWidth < NARROW_PX;
    return {
      ...figure.layout,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: theme("ink-3") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: narrow ? 44 : 52, r: 8, t: 22, b: 26 },
      dragmode: false, hovermode: false,
      xaxis: xaxis(figure, box, narrow),
      yaxis: yaxis(figure),
      shapes: [...veil(figure), ...marks(figure)],
      annotations: isRunning(figure) ? [{ x: 1, xref: "paper", y: 1.02, yref: "paper", xanchor: "right", yanchor: "bottom", text: meta.soFar, showarrow: false,
        font: { size: 11, color: theme("ink-2") } }] : [],
    };
  }

  function draw(box) {
    const figure = drawn.get(box);
    if (!figure || !box.isConnected || !window.Plotly) return;
    const isFirst = !box.classList.contains("is-drawn");
    if (isFirst) box.replaceChildren();
    box.classList.add("is-drawn");
    window.Plotly.react(box, styled(figure), layout(figure, box), OPTIONS);
    box.dispatchEvent(new CustomEvent("chart-drawn", { bubbles: true }));
  }

  async function load(box) {
    const within = box.dataset.figureIn && document.getElementById(box.dataset.figureIn);
    if (within) {
      drawn.set(box, JSON.parse(within.textContent));
      draw(box);
      return;
    }
    const answer = await fetch(box.dataset.figure, { headers: { Accept: "application/json" } });
    if (!answer.ok || answer.redirected) return;
    drawn.set(box, await answer.json());
    draw(box);
  }

  window.megadashCharts = { figureOf: (box) => drawn.get(box), isChinese, isMoney, isRunning, stacks };
  const boxes = (within = document) => [...within.querySelectorAll("[data-figure], [data-figure-in]")];
  document.addEventListener("DOMContentLoaded", () => boxes().forEach(load));
  document.addEventListener("htmx:afterSettle", () => boxes().filter((box) => !drawn.has(box)).forEach(load));
  document.addEventListener("usage-changed", () => boxes().filter((box) => box.dataset.figure).forEach(load));
  addEventListener("theme-changed", () => boxes().forEach(draw));
})();
