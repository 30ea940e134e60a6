// Keeps the page as the server tells of it. Without this script it stays as it was loaded.

const live = document.getElementById("live");
const said = document.getElementById("said");
const trouble = document.getElementById("trouble");
const spans = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** How long ago or how far ahead a time is, in its largest unit. */
function relative(time) {
  const seconds = (new Date(time) - Date.now()) / 1000;
  const [size, unit] = spans.find(([size]) => Math.abs(seconds) >= size) ?? [1, "second"];
  return words.format(Math.trunc(seconds / size), unit);
}

function tellTimes() {
  for (const time of document.querySelectorAll("time")) {
    time.title ||= time.textContent;
    time.textContent = relative(time.dateTime);
  }
}

/** What tells an element from its likes in the next view. */
const names = ["id", "href", "aria-label"];
function place(element) {
  const name = names.find((name) => element.hasAttribute(name));
  return name && `${element.tagName.toLowerCase()}[${name}="${CSS.escape(element.getAttribute(name))}"]`;
}

/** Shows a view of the server's, in which everything foreign is escaped; keeps the focus and what was opened. */
function show(html) {
  const focused = live.contains(document.activeElement) && place(document.activeElement);
  const opened = [...live.querySelectorAll("details")].map((details) => details.open);
  const template = document.createElement("template");
  template.innerHTML = html;
  const details = template.content.querySelectorAll("details");
  if (details.length === opened.length) details.forEach((one, at) => { one.open = opened[at]; });
  live.replaceChildren(template.content);
  if (focused) live.querySelector(focused)?.focus();
  tellTimes();
}

function fail(why) {
  trouble.hidden = !why;
  trouble.textContent = why ?? "";
}

if (live) {
  const events = new EventSource(live.dataset.events);
  events.addEventListener("view", ({ data }) => {
    const view = JSON.parse(data);
    show(view.html);
    if (said.textContent !== view.said) said.textContent = view.said;
    fail(null);
  });
  events.addEventListener("trouble", ({ data }) => fail(JSON.parse(data).error));
  events.onerror = () => {
    const closed = events.readyState === EventSource.CLOSED;
    fail(closed ? "This page is no longer kept up to date: load it again." : "The console does not answer. Trying again…");
  };
  // A page that nobody sees must not have the stores read.
  addEventListener("pagehide", () => events.close());
  addEventListener("pageshow", ({ persisted }) => { if (persisted) location.reload(); });
}
tellTimes();
setInterval(tellTimes, 10_000);
