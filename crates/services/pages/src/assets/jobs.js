// The queue, as the server tells of it; the browser resumes by itself where the connection was lost.

import { ask, element, fromMarkup, say, trouble } from "./api.js";

const list = element("jobs");

export function followJobs() {
  const events = new EventSource("/api/events");
  events.addEventListener("reset", ({ data }) => {
    const { ids } = JSON.parse(data);
    for (const card of [...list.children]) if (!ids.includes(card.dataset.id)) remove(card.dataset.id);
  });
  events.addEventListener("job", ({ data }) => update(JSON.parse(data)));
  events.addEventListener("gone", ({ data }) => remove(JSON.parse(data).id));
  events.onopen = () => trouble(null);
  events.onerror = () => {
    const closed = events.readyState === EventSource.CLOSED;
    const what = closed ? "Start it again and open the link that it shows." : "Trying again…";
    trouble(new Error(`The server does not answer. ${what}`));
  };
  list.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) act(button).then(() => trouble(null), trouble);
  });
}

async function act(button) {
  const { id } = button.closest(".job").dataset;
  if (button.dataset.do !== "delete") {
    await ask("POST", `/api/jobs/${id}/${button.dataset.do}`);
    return;
  }
  if (!confirm("Delete this conversion, with its result?")) return;
  await ask("DELETE", `/api/jobs/${id}`);
  remove(id);
}

function update(job) {
  const card = element(`job-${job.id}`);
  if (card?.dataset.state === job.state) {
    // The same card: whoever has a button of it in focus keeps it.
    const bar = card.querySelector("progress");
    if (bar) bar.value = job.percent;
    card.querySelector(".line").textContent = job.line;
    return;
  }
  const fresh = fromMarkup(job.html);
  if (card) {
    const focused = card.contains(document.activeElement);
    card.replaceWith(fresh);
    if (focused) fresh.querySelector("a, button")?.focus();
    say(`${job.name}: ${job.state}`);
  } else {
    list.prepend(fresh);
  }
  element("nothing").hidden = true;
}

function remove(id) {
  element(`job-${id}`)?.remove();
  element("nothing").hidden = list.childElementCount > 0;
}
