// Keeps the page up to date by server-sent events. Nothing here changes anything at the worker; without it the page
// stays as it was when it was loaded.
"use strict";

(() => {
  const parse = (() => {
    const as = { createHTML: (markup) => markup };
    const policy = window.trustedTypes ? window.trustedTypes.createPolicy("page", as) : as;
    return (markup) => {
      const template = document.createElement("template");
      template.innerHTML = policy.createHTML(markup);
      return template.content;
    };
  })();

  // Makes `old` look like `wanted` and touches only what differs: what is selected, scrolled, unfolded or being read
  // aloud stays as it is.
  const mend = (old, wanted) => {
    const wantedNodes = [...wanted.childNodes];
    const oldNodes = [...old.childNodes];
    wantedNodes.forEach((node, index) => {
      const before = oldNodes[index];
      if (before === undefined) {
        old.append(node);
      } else if (before.nodeName !== node.nodeName) {
        before.replaceWith(node);
      } else if (node.nodeType === Node.TEXT_NODE) {
        if (before.data !== node.data) before.data = node.data;
      } else {
        for (const { name, value } of node.attributes) {
          if (before.getAttribute(name) !== value) before.setAttribute(name, value);
        }
        for (const { name } of [...before.attributes]) {
          if (!node.hasAttribute(name) && name !== "open") before.removeAttribute(name);
        }
        mend(before, node);
      }
    });
    oldNodes.slice(wantedNodes.length).forEach((node) => node.remove());
  };

  const root = document.documentElement;
  const element = (name, attributes, text) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };
  const words = element("span", { role: "status" }, "");
  const button = element("button", { type: "button" }, "Pause");
  document.getElementById("live").replaceChildren(words, button);

  const say = (state, text) => {
    root.dataset.live = state;
    if (words.textContent !== text) words.textContent = text;
  };

  let source = null;
  const connect = () => {
    say("connecting", "Connecting");
    source = new EventSource("/api/live");
    source.addEventListener("open", () => say("on", "Live"));
    source.addEventListener("error", () => {
      say("lost", "No connection: these figures are old");
      if (source.readyState === EventSource.CLOSED) window.setTimeout(() => source && connect(), 5000);
    });
    source.addEventListener("look", (event) => {
      const look = JSON.parse(event.data);
      if (look.assets !== root.dataset.assets) {
        window.location.reload();
        return;
      }
      say("on", "Live");
      root.dataset.level = look.level;
      document.title = look.title;
      for (const [name, markup] of Object.entries(look.parts)) {
        const shown = document.querySelector(`[data-live="${name}"]`);
        if (shown) mend(shown, parse(markup));
      }
    });
  };
  const pause = () => {
    source.close();
    source = null;
    say("paused", "Paused");
  };
  button.addEventListener("click", () => {
    if (source) pause();
    else connect();
    button.textContent = source ? "Pause" : "Resume";
  });
  connect();
})();
