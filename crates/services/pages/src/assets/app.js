// The first page: films come in, one is chosen, looked at and converted.

import { ask, element, fromMarkup, trouble } from "./api.js";
import { followJobs } from "./jobs.js";
import { takeFiles } from "./upload.js";
import { Workbench } from "./workbench.js";

const workbench = new Workbench();
const films = element("films");

function choose(item) {
  for (const other of films.querySelectorAll(".film")) {
    other.querySelector(".choose").setAttribute("aria-pressed", String(other === item));
  }
  workbench.show(item ? { id: item.dataset.id, name: item.querySelector(".name").textContent } : null);
}

function arrived(film) {
  const item = fromMarkup(film.html);
  films.querySelector("ul").prepend(item);
  films.hidden = false;
  element("drop").classList.remove("large");
  choose(item);
}

async function forget(item) {
  await ask("DELETE", `/api/films/${item.dataset.id}`);
  const chosen = item.querySelector(".choose").getAttribute("aria-pressed") === "true";
  item.remove();
  const left = films.querySelector(".film");
  films.hidden = !left;
  element("drop").classList.toggle("large", !left);
  if (chosen) choose(left);
}

films.addEventListener("click", (event) => {
  const item = event.target.closest(".film");
  if (!item) return;
  if (event.target.closest("[data-do=forget]")) {
    forget(item).then(() => trouble(null), trouble);
  } else {
    choose(item);
  }
});

const first = films.querySelector(".film");
if (first) choose(first);
takeFiles(arrived);
followJobs();
