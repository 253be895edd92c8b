/* Passkeys: makes one, signs in with one, confirms with one. The forms say what they want with data-passkey. */
(() => {
  "use strict";
  const passkeys = window.webauthnJSON;

  function say(form, reason) {
    const place = form.querySelector("[data-passkey-error]");
    place.querySelector("span").textContent = place.dataset[reason];
    place.hidden = false;
  }

  /* Options for this visit: in the page, or, before anybody is known, fetched. */
  async function options(form) {
    if (!form.dataset.options) return JSON.parse(document.getElementById("passkey-options").textContent);
    const answer = await fetch(form.dataset.options, { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`options: ${answer.status}`);
    return answer.json();
  }

  async function make(form) {
    const wanted = (await options(form)).creation_options;
    const alone = form.elements.passwordless.checked;
    const chosen = wanted.publicKey.authenticatorSelection;
    chosen.residentKey = alone ? "required" : "discouraged";
    chosen.requireResidentKey = alone;
    if (alone) chosen.userVerification = "required";
    return passkeys.create(wanted);
  }

  async function use(form) {
    return passkeys.get((await options(form)).request_options);
  }

  async function go(form) {
    form.querySelector("[data-passkey-error]").hidden = true;
    if (!window.PublicKeyCredential) return say(form, "unsupported");
    try {
      const credential = await (form.dataset.passkey === "make" ? make(form) : use(form));
      form.elements.credential.value = JSON.stringify(credential);
      form.submit();
    } catch (error) {
      say(form, { NotAllowedError: "refused", AbortError: "refused", SecurityError: "unsupported" }[error.name] || "failed");
    }
  }

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.querySelector("button[type=button]").addEventListener("click", () => go(form));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      go(form);
    });
  }
})();
