"""Opens a report of `parallax perceive` and looks at it: pictures, policy, keyboard, phone width."""

import argparse
from pathlib import Path

from browser import Browser

PICTURES = """
const pictures = [...document.images];
pictures.forEach(picture => { picture.loading = 'eager'; });
return pictures.length > 0 && pictures.every(picture => picture.complete && picture.naturalWidth > 0);
"""
WIDER = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the page")
    chosen = parser.parse_args()
    browser = Browser()
    try:
        browser.driver.get(chosen.report.resolve().as_uri())
        browser.wait("all pictures", lambda: browser.run(PICTURES))
        assert browser.run("return document.scripts.length") == 0, "the page has a script"
        shots = browser.run("return document.querySelectorAll('.timeline .shot').length")
        assert shots == browser.run("return document.querySelectorAll('.of-shot').length") > 1, shots
        first = browser.run("return document.querySelector('.timeline .shot').getBoundingClientRect().width")
        assert first > 20, f"the first shot is {first} pixels wide"
        # The style that the policy lets in is in force, and one that it does not name is not.
        assert browser.run("return getComputedStyle(document.querySelector('.grid')).display") == "grid"
        browser.run("const own = document.createElement('style'); own.textContent = 'h1 {display: none}'; document.head.append(own)")
        assert browser.run("return getComputedStyle(document.querySelector('h1')).display") != "none", "any style is let in"
        # With the keyboard: the first stop leads to the frames.
        browser.run("document.querySelector('.skip').focus()")
        assert browser.run("return document.activeElement.getBoundingClientRect().left") >= 0
        # A place of the timeline leads to its frame.
        last = browser.run("return [...document.querySelectorAll('.timeline a')].pop().getAttribute('href')")
        browser.driver.execute_script("location.hash = arguments[0]", last)
        assert browser.run("return document.querySelector(':target').tagName") == "FIGURE"
        for name, width in [("wide", 1280), ("phone", 390)]:
            browser.driver.set_window_size(width, 900)
            assert browser.run(WIDER) <= 0, f"the page is wider than the window at {width}"
            if chosen.pictures:
                chosen.pictures.mkdir(parents=True, exist_ok=True)
                browser.driver.save_screenshot(str(chosen.pictures / f"report-{name}.png"))
        urls = [entry for entry in browser.driver.get_log("performance") if '"http' in entry["message"]]
        assert not urls, f"the page asks somebody: {urls[:3]}"
        print("the report is whole and asks nobody")
    finally:
        browser.driver.quit()


main()
