"""What a person does on the pages, done by a browser, and looked at."""

import argparse
import subprocess
from pathlib import Path

from browser import Browser, pictures
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from served import Served

# The picture that is looked at, and frames in a second of the films.
FRAME, RATE = 12, 12


def film(scene, path, width, height, seconds):
    sizes = ["--width", str(width), "--height", str(height), "--seconds", str(seconds), "--rate", str(RATE)]
    subprocess.run([scene, path, *sizes], check=True)
    return path


def looks(browser):
    """The preview at some points, once it is there and nothing is being drawn."""
    quiet = "return document.querySelector('.preview').getAttribute('aria-busy') == 'false'"
    browser.shown("#picture")
    browser.wait("a preview", lambda: browser.run(quiet) and browser.run("return document.querySelector('#picture').complete"))
    return browser.samples("#picture")


def look_and_turn(browser):
    """The preview follows strength, convergence and layout."""
    seen = [looks(browser)]
    comfort = [browser.find(".verdict").text]
    turns = [("#strength", Keys.END), ("#convergence", Keys.HOME)]
    for selector, key in turns:
        browser.find(selector).send_keys(key)
        browser.wait(f"another preview after {selector}", lambda: looks(browser) not in seen)
        seen.append(looks(browser))
        comfort.append(browser.find(".verdict").text)
    Select(browser.find("#layout")).select_by_value("anaglyph")
    browser.wait("another preview after #layout", lambda: looks(browser) not in seen)
    Select(browser.find("#layout")).select_by_value("full-sbs")
    browser.wait("the one before", lambda: looks(browser) == seen[-1])
    assert len(set(comfort)) == 3 and "may tire" in comfort[-1], comfort
    assert "--disparity 5% --convergence 0 --layout full-sbs" in command(browser), command(browser)


def command(browser):
    return browser.run("return document.querySelector('#command').textContent")


def convert(browser):
    """Starts a conversion, and gives its card's selector."""
    before = len(browser.driver.find_elements("css selector", ".job"))
    browser.find("#convert").click()
    browser.wait("a card", lambda: len(browser.driver.find_elements("css selector", ".job")) > before)
    return "#" + browser.find(".job").get_attribute("id")


def in_state(browser, card, state):
    return browser.shown(f"{card}[data-state={state}]")


def stop_and_go_on(browser, served, start):
    """A conversion is stopped, the server restarted, and the conversion goes on to its end."""
    card = convert(browser)
    in_state(browser, card, "converting")
    browser.find(f"{card} [data-do=stop]").click()
    in_state(browser, card, "stopped")
    browser.listen()
    # Its own pages notice that it is gone, and say so on the console.
    browser.driver.get("about:blank")
    served.stop()
    served = start()
    browser.driver.get(served.link)
    in_state(browser, card, "stopped")
    browser.find(f"{card} [data-do=resume]").click()
    in_state(browser, card, "done")
    return served


def eyes(result):
    """Both eyes of the frame, as ffmpeg sees them."""
    command = ["ffmpeg", "-v", "error", "-i", result, "-vf", f"select=eq(n\\,{FRAME})", "-frames:v", "1",
               "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    width, height = 640, 180
    def sample(eye, across=24, down=12):
        points = []
        for y in range(down):
            for x in range(across):
                at = int((y + 0.5) * height / down) * width + eye * width // 2 + int((x + 0.5) * width / 2 / across)
                points.append(list(data[3 * at:3 * at + 3]))
        return points
    return sample(0), sample(1)


def apart(one, other):
    """The mean difference of samples."""
    differences = [abs(a - b) for p, q in zip(one, other) for a, b in zip(p, q)]
    return sum(differences) / len(differences)


def linear(v):
    v /= 255
    return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4


def curved(v):
    v = min(max(v, 0), 1)
    return 255 * (v * 12.92 if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055)


def dubois(left, right):
    """Dubois, 2001, in linear light."""
    of_left = [[0.437, 0.449, 0.164], [-0.062, -0.062, -0.024], [-0.048, -0.050, -0.017]]
    of_right = [[-0.011, -0.032, -0.007], [0.377, 0.761, 0.009], [-0.026, -0.093, 1.234]]
    l, r = [linear(v) for v in left], [linear(v) for v in right]
    def part(row, eye):
        return min(max(sum(a * b for a, b in zip(row, eye)), 0), 1)
    return [curved(part(a, l) + part(b, r)) for a, b in zip(of_left, of_right)]


MIXES = {
    "anaglyph": lambda l, r: [l[0], r[1], r[2]],
    "anaglyph-half-colour": lambda l, r: [0.299 * l[0] + 0.587 * l[1] + 0.114 * l[2], r[1], r[2]],
    "anaglyph-optimised": lambda l, r: [0.7 * l[1] + 0.3 * l[2], r[1], r[2]],
    "anaglyph-dubois": dubois,
}


def watch(browser, card, folder):
    """The player shows each eye where it belongs, whatever the way."""
    browser.find(f"{card} a.primary").click()
    browser.shown("#canvas")
    browser.wait("the film", lambda: browser.run("return document.querySelector('#source').readyState >= 2"))
    browser.find("#play").click()
    browser.wait("playing", lambda: browser.run("return document.querySelector('#source').currentTime > 0.2"))
    browser.find("#play").click()
    browser.run("document.querySelector('#source').currentTime = arguments[0]", (FRAME + 0.5) / RATE)
    browser.wait("the frame", lambda: browser.run("return !document.querySelector('#source').seeking"))
    def shown(mode):
        Select(browser.find("#mode")).select_by_value(mode)
        return browser.samples("#canvas")
    browser.wait("the frame's picture", lambda: apart(shown("left"), eyes(folder)[0]) < 12)
    left, right = shown("left"), shown("right")
    true_left, true_right = eyes(folder)
    assert apart(left, true_left) < apart(left, true_right), "the left eye is the left one"
    assert apart(right, true_right) < min(apart(right, true_left), 12), "the right eye is the right one"
    assert apart(left, right) > 3, "the eyes differ"
    for mode, mix in MIXES.items():
        got, want = shown(mode), [mix(l, r) for l, r in zip(left, right)]
        worst = max(abs(a - b) for p, q in zip(got, want) for a, b in zip(p, q))
        assert worst <= 3, f"{mode}: {worst} off"
    sbs, cross = shown("sbs"), shown("cross")
    half = lambda row, side: [p for y in range(12) for p in row[24 * y + 12 * side:24 * y + 12 * side + 12]]
    assert half(sbs, 0) == half(cross, 1) and half(sbs, 1) == half(cross, 0), "crossed eyes"
    shown("wiggle")
    kinds = set()
    browser.wait("both eyes in turn", lambda: kinds.add(str(browser.samples("#canvas"))) or len(kinds) == 2)
    # By keys alone: the next way, which is the left eye, and the eyes swapped.
    browser.find("#canvas").send_keys("v")
    assert browser.samples("#canvas") == left, "V shows the next way"
    browser.find("#canvas").send_keys("s")
    assert browser.samples("#canvas") == right, "S swaps the eyes"
    browser.find("#canvas").send_keys("s")
    shown("anaglyph-dubois")


def wear(browser):
    """In a headset each eye sees its own half, on a screen of the size and at the distance that was asked for."""
    def shown(mode):
        Select(browser.find("#mode")).select_by_value(mode)
        return browser.samples("#canvas", 12, 6)
    flat = [shown("left"), shown("right")]
    browser.find("#headset").click()
    browser.wait("a headset", lambda: browser.run("return window.session?.seen?.length == 2"))
    # The film plays then; a controller's button pauses it, and it is taken back to where it was.
    browser.run("window.session.dispatchEvent(new Event('select'))")
    browser.wait("a pause", lambda: browser.run("return document.querySelector('#source').paused"))
    browser.run("document.querySelector('#source').currentTime = arguments[0]", (FRAME + 0.5) / RATE)
    # 3 m wide and 2.5 m away, in views of a right angle.
    half = 1.5 / 2.5
    def worn(eye):
        return browser.run("return window.session.samples(...arguments)", eye, half, half * 9 / 16, 12, 6)
    browser.wait("the frame in the headset", lambda: apart(worn(0), flat[0]) < 6)
    assert apart(worn(0), flat[0]) < apart(worn(0), flat[1]), "the left eye sees the left one"
    assert apart(worn(1), flat[1]) < min(apart(worn(1), flat[0]), 6), "the right eye sees the right one"
    browser.run("window.session.end()")
    shown("anaglyph-dubois")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ["parallax", "scene", "work"]:
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--pictures", type=Path)
    chosen = parser.parse_args()
    clip = film(chosen.scene, chosen.work / "street <b>.mp4", 320, 180, 2)
    longer = film(chosen.scene, chosen.work / "square.mp4", 640, 360, 5)
    folder = chosen.work / "folder"
    hosts = []
    def start():
        served = Served(chosen.parallax, folder)
        hosts.append(served.host)
        return served
    served, browser = start(), Browser()
    try:
        browser.driver.get(served.link)
        browser.shown("#drop")
        assert "token" not in browser.driver.current_url, browser.driver.current_url
        browser.accessible("empty")
        pictures(browser, chosen.pictures, "empty")
        browser.drop(clip)
        browser.shown("#workbench")
        Select(browser.find("#engine")).select_by_value("draft")
        look_and_turn(browser)
        card = convert(browser)
        in_state(browser, card, "done")
        browser.drop(longer)
        browser.wait("the other film", lambda: "square" in browser.find("#work-title").text)
        served = stop_and_go_on(browser, served, start)
        assert not browser.nameless(), browser.nameless()
        looks(browser)
        browser.accessible("films")
        pictures(browser, chosen.pictures, "films")
        results = folder / "results" / card.removeprefix("#job-")
        browser.wear_headset()
        watch(browser, card, next(results.glob("*_LRF_Full_SBS.mp4")))
        wear(browser)
        assert not browser.nameless(), browser.nameless()
        browser.accessible("watch")
        pictures(browser, chosen.pictures, "watch")
        browser.listen()
        assert not browser.said, f"on the console: {browser.said}"
        assert len(browser.requests) > 20, browser.requests
        assert not browser.elsewhere(hosts), f"asked elsewhere: {browser.elsewhere(hosts)}"
    finally:
        browser.driver.quit()
        served.end()
    print("pages: dropped, looked at, converted, stopped, gone on with, watched")


main()
