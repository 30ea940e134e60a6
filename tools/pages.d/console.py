"""What an operator does on the console, done by a browser, and looked at."""

import argparse
import subprocess
from pathlib import Path

from browser import Browser, pictures
from deployment import Deployment
from served import Console

TOKEN = "the-token-of-check-pages"
SECTIONS = {
    "jobs": "/", "list": "/jobs?status=completed", "job": "/jobs/wedding", "failed": "/jobs/harbour", "permits": "/permits",
    "queues": "/queues", "replicas": "/replicas",
}


def said(worker, folder, *words):
    command = [worker, *words, "--state-dir", folder, "--platform", "local"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def look_around(browser, host, folder):
    """Every page, in every appearance, whole and accessible."""
    for name, path in SECTIONS.items():
        browser.driver.get(f"http://{host}{path}")
        browser.shown("h1")
        browser.accessible(name)
        pictures(browser, folder, f"console-{name}")


def read(browser, host):
    """What failed is on top, with its reason; what was set aside is shown, and opens nothing."""
    browser.driver.get(f"http://{host}/")
    first = browser.shown("#live .job")
    assert "Harbour <at> night.mp4" in first.text and "ran out of memory" in first.text, first.text
    browser.driver.get(f"http://{host}/jobs/wedding")
    cells = browser.driver.find_elements("css selector", ".grid .cell")
    assert len(cells) == 60, len(cells)
    assert browser.find(".timeline rect[data-state=failed]"), "an attempt that was followed by another"
    text = browser.find("#live").text
    assert "the backend is busy" in text and "holds permit 77ab12d4" in text, text
    browser.driver.get(f"http://{host}/permits")
    text = browser.find("#live").text
    assert "3 of 5" in text and "1 overdue" in text and "0c4411ef" in text, text
    browser.driver.get(f"http://{host}/queues")
    text = browser.find("#live").text
    assert "exhausted after 12 deliveries" in text and "<b>not ours</b>" in text, text
    assert "very-secret" not in browser.driver.page_source and "[redacted]" in text, text


def follow(browser, host, worker, folder):
    """A change reaches the page by itself."""
    browser.driver.get(f"http://{host}/queues")
    browser.shown("#live")
    assert "paused" not in browser.find(".roles").text
    said(worker, folder, "pause", "chunking")
    browser.wait("the pause on the page", lambda: "paused" in browser.find(".roles").text)
    said(worker, folder, "resume", "chunking")
    browser.wait("the end of it", lambda: "paused" not in browser.find(".roles").text)


def redrive(browser, host, worker, folder):
    """The button of a failed job asks for the token, then whether, and then the job goes on."""
    browser.driver.get(f"http://{host}/jobs/harbour")
    browser.find(".actions a[href='/do/redrive/harbour']").click()
    browser.shown("#token")
    browser.accessible("enter")
    browser.find("#name").send_keys("Ann")
    browser.find("#token").send_keys(TOKEN + "\n")
    plan = browser.shown("#confirm") and browser.find("main").text
    assert "would be reopened: segment harbour/7 of 24" in plan, plan
    browser.accessible("confirm")
    assert "failed" in said(worker, folder, "explain", "harbour").splitlines()[0]
    browser.find("#confirm").click()
    outcome = browser.shown("#outcome").text
    assert "reopened: segment harbour/7 of 24" in outcome, outcome
    assert "chunking_complete" in said(worker, folder, "explain", "harbour").splitlines()[0]
    browser.driver.get(f"http://{host}/acts")
    text = browser.shown(".act").text
    assert "redrive --job harbour" in text and "Ann" in text and "reopened" in text, text
    browser.accessible("acts")
    browser.driver.get(f"http://{host}/queues")
    browser.find("a[href='/do/redrive']").click()
    browser.shown("#confirm").click()
    outcome = browser.shown("#outcome").text
    assert "moved: message" in outcome and "refused: message" in outcome, outcome
    browser.driver.get(f"http://{host}/queues")
    browser.wait("one letter that is left", lambda: len(browser.driver.find_elements("css selector", ".letter")) == 1)
    browser.find(".who button").click()
    browser.wait("a stranger again", lambda: "Enter to act" in browser.find(".who").text)


def without_script(browser, host):
    """Reading works without JavaScript."""
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.driver.get(f"http://{host}/jobs/wedding")
    source = browser.driver.page_source
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "segment 32: invoked, attempt 2" in source and " UTC</time>" in source, source


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ["worker", "work"]:
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--pictures", type=Path)
    chosen = parser.parse_args()
    folder = chosen.work / "state"
    with Deployment(chosen.worker, folder) as deployment:
        deployment.a_bad_day()
    served, browser = Console(chosen.worker, folder, TOKEN), Browser()
    try:
        look_around(browser, served.host, chosen.pictures)
        read(browser, served.host)
        without_script(browser, served.host)
        follow(browser, served.host, chosen.worker, folder)
        redrive(browser, served.host, chosen.worker, folder)
        browser.driver.get("about:blank")
        browser.listen()
        assert not browser.said, f"on the console: {browser.said}"
        assert len(browser.requests) > 20, browser.requests
        assert not browser.elsewhere([served.host]), f"asked elsewhere: {browser.elsewhere([served.host])}"
        served.stop()
    finally:
        browser.driver.quit()
        served.end()
    print("console: read, followed, entered, redriven, left")


main()
