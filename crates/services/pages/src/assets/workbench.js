// One film: a live frame of what a conversion will give, and what can be decided about it.

import { ask, element, say, trouble } from "./api.js";

/** Hands that still move ask for nothing. */
const SETTLED_MS = 120;
/** Frames that were drawn, kept to be shown again at once. */
const KEPT = 24;

export class Workbench {
  #film = null;
  #timer = 0;
  #asked = null;
  #seen = new Map();

  constructor() {
    const form = element("controls");
    // Choices are told of by either, as browsers and what drives them like it.
    for (const event of ["input", "change"]) form.addEventListener(event, () => this.#changed());
    element("at").addEventListener("input", () => this.#changed());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#convert().then(() => trouble(null), trouble);
    });
    element("copy").addEventListener("click", () => this.#copy());
  }

  /** Shows a film, or nothing. */
  show(film) {
    this.#film = film;
    element("workbench").hidden = !film;
    if (!film) return;
    element("work-title").textContent = film.name;
    element("picture").hidden = true;
    this.#changed();
  }

  #look() {
    return {
      engine: element("engine").value,
      disparity_percent: Number(element("strength").value),
      convergence: Number(element("convergence").value),
      layout: element("layout").value,
    };
  }

  #changed() {
    const look = this.#look();
    element("strength-said").textContent = `${look.disparity_percent} %`;
    element("convergence-said").textContent = String(look.convergence);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#draw(), SETTLED_MS);
  }

  async #draw() {
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    const wanted = new URLSearchParams({ ...this.#look(), at: element("at").value });
    const path = `/api/films/${this.#film.id}/preview?${wanted}`;
    const figure = document.querySelector(".preview");
    figure.setAttribute("aria-busy", "true");
    // Of a quick answer nobody needs to be told that it takes time.
    const slow = setTimeout(() => {
      if (element("picture").hidden) this.#why("Looking at the film…");
    }, 300);
    try {
      const seen = this.#seen.get(path) ?? (await this.#fetch(path, asked.signal));
      if (asked !== this.#asked) return;
      this.#keep(path, seen);
      this.#present(seen);
    } catch (error) {
      if (error.name === "AbortError") return;
      element("picture").hidden = true;
      this.#why(error.message);
    } finally {
      clearTimeout(slow);
      if (asked === this.#asked) figure.setAttribute("aria-busy", "false");
    }
  }

  async #fetch(path, signal) {
    const answer = await ask("GET", path, { signal });
    const said = (name) => answer.headers.get(`parallax-${name}`);
    return {
      near: Number(said("near-percent")),
      far: Number(said("far-percent")),
      command: decodeURIComponent(said("command")),
      picture: URL.createObjectURL(await answer.blob()),
    };
  }

  #keep(path, seen) {
    this.#seen.delete(path);
    this.#seen.set(path, seen);
    if (this.#seen.size <= KEPT) return;
    const [oldest, { picture }] = this.#seen.entries().next().value;
    URL.revokeObjectURL(picture);
    this.#seen.delete(oldest);
  }

  #present(seen) {
    const picture = element("picture");
    picture.src = seen.picture;
    picture.hidden = false;
    this.#why("");
    element("command").textContent = seen.command;
    showComfort(seen.near, seen.far);
  }

  #why(text) {
    element("why").textContent = text;
  }

  async #convert() {
    const body = JSON.stringify({ film: this.#film.id, look: this.#look() });
    await ask("POST", "/api/jobs", { body });
    say(`${this.#film.name} is in the queue`);
    element("queue-title").scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  async #copy() {
    const button = element("copy");
    try {
      await navigator.clipboard.writeText(element("command").textContent);
      button.textContent = "Copied";
    } catch {
      // Beyond this machine browsers ask for https.
      getSelection().selectAllChildren(element("command"));
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
}

/** Percent of the width that the track shows to either side of the screen. */
const SHOWN = 4;

function showComfort(near, far) {
  const comfort = element("comfort");
  const front = Number(comfort.dataset.front);
  const behind = Number(comfort.dataset.behind);
  const place = (percent) => 50 + (Math.max(-SHOWN, Math.min(SHOWN, percent)) / SHOWN) * 50;
  const span = (part, from, to) => {
    const { style } = comfort.querySelector(part);
    style.left = `${place(from)}%`;
    style.width = `${Math.max(place(to) - place(from), 0.75)}%`;
  };
  span(".fine", -front, behind);
  span(".range", near, far);
  // A hundredth is what is measured.
  const beyond = -near > front + 0.01 || far > behind + 0.01;
  comfort.classList.toggle("beyond", beyond);
  const words = `${Math.max(0, -near).toFixed(1)} % in front of the screen, ${Math.max(0, far).toFixed(1)} % behind: `;
  comfort.querySelector(".verdict").textContent =
    words + (beyond ? "may tire eyes on a large screen" : "comfortable on a large television, too");
}
