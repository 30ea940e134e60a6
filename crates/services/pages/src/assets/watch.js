// Watches a result: by its own player where that is all there is, else by a canvas that shows both eyes.

import { element, trouble } from "./api.js";
import { MODES, StereoCanvas } from "./stereo.js";
import { enter, hasHeadset } from "./xr.js";

/** Between the eyes of a wiggle; slower for those who asked for less motion. */
const WIGGLE_MS = matchMedia("(prefers-reduced-motion: reduce)").matches ? 900 : 140;
const STEP_SECONDS = 5;
const REMEMBERED = "parallax-mode";

const source = element("source");
const stage = element("stage");
const canvas = element("canvas");
const film = source instanceof HTMLVideoElement;

source.addEventListener("error", () => {
  trouble(new Error("This browser cannot play the file. Save it for another player."));
});
if (stage.dataset.packing) {
  try {
    start(new StereoCanvas(canvas, stage.dataset.packing));
  } catch (error) {
    trouble(new Error(`${error.message} The result is shown as it is.`));
  }
}

function start(stereo) {
  source.hidden = true;
  canvas.hidden = false;
  element("player").hidden = false;
  const draw = () => stereo.draw(source);
  chooseMode(stereo, draw);
  element("swap").addEventListener("change", (event) => {
    stereo.swapped = event.target.checked;
    draw();
  });
  element("full").addEventListener("click", fill);
  offerHeadset(stereo, draw);
  document.addEventListener("keydown", (event) => key(event));
  if (film) {
    source.controls = false;
    playFilm(draw);
  } else if (source.complete) {
    draw();
  } else {
    source.addEventListener("load", draw);
  }
}

/** A headset is offered where there is one, with a screen of the size and at the distance that its wearer likes. */
async function offerHeadset(stereo, draw) {
  if (!(await hasHeadset())) return;
  const [button, width, distance] = [element("headset"), element("width"), element("distance")];
  element("room").hidden = false;
  button.addEventListener("click", async () => {
    const metres = { width: Number(width.value), distance: Number(distance.value) };
    try {
      const session = await enter(source, stage.dataset.packing, { ...metres, swapped: stereo.swapped });
      button.disabled = true;
      if (film) source.play().catch(trouble);
      // Its controllers' buttons, whichever, play and pause.
      session.addEventListener("select", toggle);
      session.addEventListener("end", () => {
        button.disabled = false;
        draw();
      });
    } catch (error) {
      trouble(error);
    }
  });
}

function chooseMode(stereo, draw) {
  const select = element("mode");
  let wiggling = 0;
  const chosen = () => {
    stereo.mode = select.value;
    localStorage.setItem(REMEMBERED, select.value);
    clearInterval(wiggling);
    if (stereo.mode === "wiggle") {
      wiggling = setInterval(() => {
        stereo.second = !stereo.second;
        draw();
      }, WIGGLE_MS);
    }
    draw();
  };
  const last = localStorage.getItem(REMEMBERED);
  select.value = MODES.includes(last) ? last : "anaglyph-dubois";
  select.addEventListener("change", chosen);
  chosen();
}

function playFilm(draw) {
  const play = element("play");
  const seek = element("seek");
  // Every frame once, where the browser tells of frames.
  const frame = () => {
    draw();
    next();
  };
  const next = () => {
    if ("requestVideoFrameCallback" in source) source.requestVideoFrameCallback(frame);
    else if (!source.paused) requestAnimationFrame(frame);
  };
  const show = () => {
    play.textContent = source.paused ? "Play" : "Pause";
    const { currentTime, duration } = source;
    if (Number.isFinite(duration)) seek.value = currentTime / duration;
    element("time").textContent = `${clock(currentTime)} of ${clock(duration)}`;
    seek.setAttribute("aria-valuetext", element("time").textContent);
  };
  for (const event of ["loadeddata", "seeked", "timeupdate"]) source.addEventListener(event, draw);
  for (const event of ["loadedmetadata", "timeupdate", "play", "pause", "seeked"]) source.addEventListener(event, show);
  source.addEventListener("play", next);
  play.addEventListener("click", toggle);
  canvas.addEventListener("click", toggle);
  seek.addEventListener("input", () => (source.currentTime = seek.value * source.duration));
  element("mute").addEventListener("click", mute);
  next();
  show();
}

function toggle() {
  if (!film) return;
  if (source.paused) source.play().catch(trouble);
  else source.pause();
}

function mute() {
  source.muted = !source.muted;
  element("mute").setAttribute("aria-pressed", String(source.muted));
}

function fill() {
  if (document.fullscreenElement) document.exitFullscreen();
  else canvas.requestFullscreen?.().catch(trouble);
}

function clock(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = event.target;
  // Controls have keys of their own.
  if (at.matches("select") || (at.matches("input, button, a") && [" ", "ArrowLeft", "ArrowRight"].includes(event.key))) return;
  const select = element("mode");
  const keys = {
    " ": toggle,
    ArrowLeft: () => film && (source.currentTime -= STEP_SECONDS),
    ArrowRight: () => film && (source.currentTime += STEP_SECONDS),
    f: fill,
    m: () => film && mute(),
    s: () => element("swap").click(),
    v: () => {
      select.selectedIndex = (select.selectedIndex + 1) % select.length;
      select.dispatchEvent(new Event("change"));
    },
  };
  const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
}
