/* The playground: calls this gateway from the browser, as a program would. What a model says is only ever set as text. */
(() => {
  "use strict";
  const form = document.getElementById("pg");
  if (!form) return;
  const by = (id) => document.getElementById(id);
  const texts = JSON.parse(by("pg-texts").textContent);
  const csrf = form.querySelector("[name=csrfmiddlewaretoken]").value;
  const language = document.documentElement.lang;
  const numbers = new Intl.NumberFormat(language);
  // An answer with one of these statuses was refused before it became a call: there is nothing to record.
  const NEVER_RECORDED = new Set([400, 401, 403, 404, 405, 408, 413, 415]);
  const SPOKEN_AT_ONCE = 160;

  // On a phone the settings stand above the talk, folded.
  if (matchMedia("(max-width: 991px)").matches) by("pg-fold").open = false;

  let messages = [];
  let underway = null;
  let countdown = 0;
  // The secret lives here and nowhere else.
  let made = null;
  const promise = by("pg-key-state").textContent;

  const say = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);

  function element(name, className, text) {
    const made_ = document.createElement(name);
    if (className) made_.className = className;
    if (text !== undefined) made_.textContent = text;
    return made_;
  }

  function span(ms) {
    return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
  }

  /* The key ---------------------------------------------------------------------------------------------------------- */
  const usesOwnKey = () => form.elements["key-source"].value === "own";

  async function secret() {
    if (usesOwnKey()) {
      const given = by("pg-key").value.trim();
      if (!given) throw new Error(texts.no_key);
      return given;
    }
    if (!made) {
      const answer = await fetch(form.dataset.keyUrl, { method: "POST", headers: { "X-CSRFToken": csrf } });
      // A session that has ended leads to the sign-in page, which is no JSON.
      if (!answer.ok || answer.redirected) throw new Error(texts.signed_out);
      made = await answer.json();
      by("pg-key-state").textContent = say(texts.key_made, { key: made.redacted });
    }
    return made.secret;
  }

  function forget() {
    made = null;
    by("pg-key-state").textContent = promise;
  }

  addEventListener("pagehide", () => {
    if (!made) return;
    navigator.sendBeacon(form.dataset.endUrl, new URLSearchParams({ key: made.id, csrfmiddlewaretoken: csrf }));
    // The page may come back from the browser's memory: it then makes another.
    forget();
  });

  /* What is asked ------------------------------------------------------------------------------------------------------ */
  function number(id, isWhole) {
    const field = by(id), error = by(`${id}-error`);
    const given = field.value.trim().replace(",", isWhole ? "" : ".");
    const value = Number(given);
    const { least, most } = field.dataset;
    const isRight = given === "" || (value >= Number(least) && value <= Number(most) && (!isWhole || Number.isInteger(value)));
    field.classList.toggle("is-invalid", !isRight);
    field.setAttribute("aria-invalid", !isRight);
    error.hidden = isRight;
    error.textContent = isRight ? "" : say(texts.out_of_range, { least, most: numbers.format(most) });
    if (!isRight) {
      field.focus();
      return undefined;
    }
    return given === "" ? null : value;
  }

  /* Null when a field is wrong: it says so itself. */
  function request(spoken) {
    const temperature = number("pg-temperature", false), most = number("pg-most", true);
    if (temperature === undefined || most === undefined) return null;
    const system = by("pg-system").value.trim();
    const asked = { model: by("pg-model").value, messages: [...(system ? [{ role: "system", content: system }] : []), ...spoken] };
    if (temperature !== null) asked.temperature = temperature;
    if (most !== null) asked.max_completion_tokens = most;
    asked.stream = by("pg-stream").checked;
    return asked;
  }

  /* What is shown ------------------------------------------------------------------------------------------------------ */
  function turn(who, className) {
    const made_ = element("section", `pg-turn ${className}`);
    const said = element("div", "pg-said");
    made_.append(element("h2", "pg-who", who), said);
    by("pg-start")?.remove();
    by("pg-turns").append(made_);
    by("pg-new").hidden = false;
    return { section: made_, said };
  }

  /* Text between lines of three backticks is code. Blocks that did not change keep their nodes. */
  function show(said, text) {
    const blocks = text.split(/^```[^\n]*\n?/m);
    blocks.forEach((block, at) => {
      const name = at % 2 ? "PRE" : "P";
      let node = said.children[at];
      if (!node || node.nodeName !== name) {
        const fresh = element(name);
        if (name === "PRE") fresh.tabIndex = 0;
        if (node) node.replaceWith(fresh);
        else said.append(fresh);
        node = fresh;
      }
      const shown = name === "PRE" ? block : block.replace(/^\n+|\n+$/g, "");
      if (node.textContent !== shown) node.textContent = shown;
      node.hidden = !shown;
    });
  }

  /* Keeps the end in sight, unless somebody has scrolled away from it. */
  function follow() {
    const end = by("pg-turns").lastElementChild.getBoundingClientRect().bottom;
    const over = end - by("pg-compose").getBoundingClientRect().top;
    if (over > 0 && over < 240) scrollBy(0, over + 8);
  }

  /* A screen reader hears whole sentences, not tokens. */
  function speak(answer, isDone) {
    const rest = answer.text.slice(answer.spoken);
    const ends = [...rest.matchAll(/[.!?。！？\n]\s*/g)].at(-1);
    const upTo = isDone ? rest.length : ends && ends.index + ends[0].length;
    if (!upTo || (!isDone && upTo < SPOKEN_AT_ONCE)) return;
    by("pg-spoken").append(element("p", "", rest.slice(0, upTo)));
    answer.spoken += upTo;
  }

  function figures(answer) {
    const foot = element("footer", "pg-figures");
    const { usage } = answer;
    if (usage) {
      const counted = { input: numbers.format(usage.prompt_tokens), output: numbers.format(usage.completion_tokens) };
      const thought = usage.completion_tokens_details?.reasoning_tokens;
      foot.append(element("span", "pg-tokens", say(texts.tokens, counted) + (thought ? `, ${say(texts.reasoning, { n: numbers.format(thought) })}` : "")));
    }
    if (answer.firstMs) foot.append(element("span", "", say(texts.first, { time: span(answer.firstMs) })));
    if (answer.totalMs) foot.append(element("span", "", say(texts.total, { time: span(answer.totalMs) })));
    answer.section.append(foot);
    if (!answer.requestId) return;
    foot.append(element("span", "mono mute pg-id", answer.requestId));
    if (answer.status === 200 || !NEVER_RECORDED.has(answer.status)) {
      const cost = element("span", "pg-cost mute");
      const address = new URLSearchParams({ id: answer.requestId, looks: 0 });
      cost.setAttribute("hx-get", `${form.dataset.callUrl}?${address}`);
      cost.setAttribute("hx-trigger", "load delay:300ms");
      cost.setAttribute("hx-swap", "outerHTML");
      foot.append(cost);
      htmx.process(cost);
    }
  }

  function note(answer, text, className = "pg-note") {
    const line = element("p", className, text);
    answer.section.append(line);
    return line;
  }

  /* In the envelope's own words; a refusal counts down to when it fits. */
  function fail(answer, error, headers) {
    const box = note(answer, error.message || String(error), "pg-error");
    const kind = [answer.status === 200 ? "" : answer.status, error.code || error.type].filter(Boolean).join(" · ");
    if (kind) box.prepend(element("b", "", `${kind} `));
    const waitMs = Number(headers?.get("retry-after-ms"));
    if (answer.status !== 429 || !waitMs) return;
    const line = element("span", "pg-wait");
    box.append(" ", line);
    const fitsAt = performance.now() + waitMs;
    clearInterval(countdown);
    const tell = () => {
      const left = fitsAt - performance.now();
      line.textContent = left > 0 ? say(texts.wait, { time: say(texts.seconds, { n: numbers.format(Math.ceil(left / 1000)) }) }) : texts.fits;
      if (left <= 0) clearInterval(countdown);
    };
    countdown = setInterval(tell, 250);
    tell();
  }

  /* The call ------------------------------------------------------------------------------------------------------------ */
  function take(answer, chunk) {
    if (chunk.error) throw chunk.error;
    if (chunk.usage) answer.usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    const piece = choice.delta?.content ?? choice.message?.content ?? "";
    if (piece && !answer.text) answer.firstMs = performance.now() - answer.startedAt;
    answer.text += piece;
    if (choice.finish_reason) answer.finish = choice.finish_reason;
  }

  async function readStream(answer, body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = event.startsWith("data: ") ? event.slice(6) : "";
        if (data && data !== "[DONE]") take(answer, JSON.parse(data));
      }
      draw(answer);
    }
  }

  function draw(answer) {
    if (answer.isAsked) return;
    answer.isAsked = true;
    requestAnimationFrame(() => {
      answer.isAsked = false;
      show(answer.said, answer.text);
      speak(answer, false);
      follow();
    });
  }

  async function ask(answer, asked, signal) {
    const key = await secret();
    if (asked.stream) asked.stream_options = { include_usage: true };
    answer.startedAt = performance.now();
    const reply = await fetch("/v1/chat/completions", {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify(asked),
      credentials: "omit",
      cache: "no-store",
      signal,
    });
    answer.requestId = reply.headers.get("x-request-id");
    answer.status = reply.status;
    if (!reply.ok) {
      const { error } = await reply.json();
      // A key of this page that was revoked meanwhile is replaced at the next message.
      if (reply.status === 401 && !usesOwnKey()) forget();
      fail(answer, error, reply.headers);
      return false;
    }
    if (asked.stream) await readStream(answer, reply.body);
    else take(answer, await reply.json());
    return true;
  }

  function settle(answer, asked, isGood) {
    answer.totalMs = answer.startedAt ? performance.now() - answer.startedAt : 0;
    answer.section.removeAttribute("aria-busy");
    show(answer.said, answer.text);
    if (isGood && !answer.text) note(answer, texts.empty_answer);
    if (answer.finish === "length") note(answer, texts.cut);
    speak(answer, true);
    figures(answer);
    follow();
    if (isGood) {
      messages.push({ role: "assistant", content: answer.text });
      by("pg-status").textContent = texts.done;
    } else if (messages.at(-1)?.role === "user" && !by("pg-text").value) {
      // What was not answered is back in the field, to be sent again.
      by("pg-text").value = messages.pop().content;
    }
  }

  async function send() {
    const text = by("pg-text").value.trim();
    if (!text || underway) return;
    const spoken = [...messages, { role: "user", content: text }];
    const asked = request(spoken);
    if (!asked) return;
    messages = spoken;
    by("pg-text").value = "";
    show(turn(texts.you, "is-person").said, text);
    const answer = { ...turn(asked.model, "is-answer"), text: "", spoken: 0 };
    answer.section.setAttribute("aria-busy", "true");
    by("pg-status").textContent = texts.answering;
    follow();
    underway = new AbortController();
    working(true);
    let isGood = false;
    try {
      isGood = await ask(answer, asked, underway.signal);
    } catch (error) {
      if (error.name === "AbortError") {
        note(answer, texts.stopped);
        isGood = Boolean(answer.text);
      } else if (error instanceof TypeError) fail(answer, { message: texts.offline });
      else fail(answer, error);
    }
    underway = null;
    working(false);
    settle(answer, asked, isGood);
  }

  function working(isWorking) {
    by("pg-stop").hidden = !isWorking;
    by("pg-send").hidden = isWorking;
    if (!isWorking) by("pg-text").focus({ preventScroll: true });
  }

  /* Hands --------------------------------------------------------------------------------------------------------------- */
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && form.contains(event.target)) {
      event.preventDefault();
      send();
    }
    if (event.key === "Escape") underway?.abort();
  });
  by("pg-stop").addEventListener("click", () => underway?.abort());
  by("pg-turns").addEventListener("click", (event) => {
    const example = event.target.closest(".pg-example");
    if (!example) return;
    by("pg-text").value = example.textContent;
    by("pg-text").focus();
  });
  by("pg-new").addEventListener("click", () => {
    underway?.abort();
    messages = [];
    by("pg-turns").replaceChildren();
    by("pg-spoken").replaceChildren();
    by("pg-new").hidden = true;
    by("pg-text").focus();
  });
  by("pg-model").addEventListener("change", (event) => {
    by("pg-facts").textContent = event.target.selectedOptions[0].dataset.facts;
    history.replaceState(null, "", `?${new URLSearchParams({ model: event.target.value })}`);
  });
  form.addEventListener("change", (event) => {
    if (event.target.name === "key-source") by("pg-own").hidden = !usesOwnKey();
  });
  by("pg-code").addEventListener("click", () => {
    const text = by("pg-text").value.trim();
    const spoken = text || !messages.length ? [...messages, { role: "user", content: text }] : messages;
    const asked = request(spoken);
    if (!asked) return;
    const values = { request: JSON.stringify(asked), csrfmiddlewaretoken: csrf };
    htmx.ajax("POST", form.dataset.codeUrl, { target: "#dialog", select: "#sheet", swap: "innerHTML", values });
  });
})();
