"""A headless Chromium, and what it noticed."""

import importlib.util
import json
import time
from pathlib import Path
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

# What a canvas or a picture shows at some points, as numbers: red, green, blue after each other.
SAMPLES = """
const [shown, across, down] = arguments;
const source = document.querySelector(shown);
const copy = document.createElement('canvas');
[copy.width, copy.height] = [source.naturalWidth || source.width, source.naturalHeight || source.height];
const drawing = copy.getContext('2d');
drawing.drawImage(source, 0, 0);
const samples = [];
for (let y = 0; y < down; y++) for (let x = 0; x < across; x++) {
  const at = [(x + 0.5) * copy.width / across, (y + 0.5) * copy.height / down];
  samples.push([...drawing.getImageData(...at.map(Math.floor), 1, 1).data].slice(0, 3));
}
return samples;
"""
# A film is dropped as a person drops it: by an event of the page, with the file in it.
DROP = """
const transfer = new DataTransfer();
for (const file of arguments[0].files) transfer.items.add(file);
arguments[0].remove();
document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: transfer, bubbles: true, cancelable: true}));
"""
# The page as it is now, by every rule.
AXE = "const told = arguments[0]; axe.run(document).then(told, (error) => told({violations: [], error: String(error)}));"
INPUT = "const own = document.createElement('input'); own.type = 'file'; document.body.append(own); return own;"


def axe():
    """axe-core, out of the package that brings it: that drives another browser."""
    package = importlib.util.find_spec("axe_playwright_python")
    return (Path(package.submodule_search_locations[0]) / "axe.min.js").read_text()


class Browser:
    """One window."""

    def __init__(self, patience=60):
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900",
                     "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
                     "--autoplay-policy=no-user-gesture-required"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.patience = patience
        self.said = []
        self.requests = []

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, what, condition):
        """Until `condition` gives something, which it may also fail to do."""
        end = time.monotonic() + self.patience
        last = None
        while time.monotonic() < end:
            try:
                found = condition()
                if found:
                    return found
            except Exception as error:  # noqa: BLE001  # an element that is being replaced
                last = error
            time.sleep(0.05)
        raise AssertionError(f"{what} did not happen: {last or ''}\n{self.find('body').text}")

    def shown(self, selector):
        return self.wait(f"{selector} on the page", lambda: self.find(selector).is_displayed() and self.find(selector))

    def drop(self, path):
        own = self.run(INPUT)
        own.send_keys(str(path))
        self.run(DROP, own)

    def samples(self, selector, across=24, down=12):
        return self.run(SAMPLES, selector, across, down)

    def appearance(self, scheme="light", width=1280, height=900):
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def picture(self, path):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(path))

    def nameless(self):
        """Controls that a screen reader could not name."""
        self.driver.execute_cdp_cmd("Accessibility.enable", {})
        nodes = self.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        roles = {"button", "link", "slider", "combobox", "checkbox", "img", "image", "progressbar", "ComboBoxSelect"}
        def value(node, name):
            return node.get(name, {}).get("value", "")
        return [value(node, "role") for node in nodes
                if not node.get("ignored") and value(node, "role") in roles and not value(node, "name")]

    def accessible(self, name):
        """Refuses what axe finds wrong with the page, in light and in dark."""
        for scheme in ["light", "dark"]:
            self.appearance(scheme)
            self.run(axe())
            answer = self.driver.execute_async_script(AXE)
            assert "error" not in answer, answer
            found = answer["violations"]
            told = [f"{one['id']} ({one['impact']}): {node['html'][:200]}" for one in found for node in one["nodes"]]
            assert not told, f"{name}, {scheme}:\n" + "\n".join(told)
        self.appearance()

    def wear_headset(self):
        """Pages that are opened from now on find a headset."""
        script = (Path(__file__).parent / "headset.js").read_text()
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    def listen(self):
        """Takes what the browser noticed since the last time."""
        for entry in self.driver.get_log("browser"):
            # Warnings are of the drawing in software here, and of how slow that is.
            if entry["level"] == "SEVERE":
                self.said.append(entry["message"])
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])

    def elsewhere(self, hosts):
        """Requests to others than `hosts`."""
        own = {"blob", "data", "chrome", "about", "devtools"}
        parts = [(url, urlsplit(url)) for url in self.requests]
        return [url for url, part in parts if part.scheme not in own and part.netloc not in hosts]


def pictures(browser, folder, name):
    """The page in light, dark and on a phone."""
    looks = {"light": ("light", 1280, 900), "dark": ("dark", 1280, 900), "phone": ("light", 390, 844)}
    for look, (scheme, width, height) in looks.items():
        browser.appearance(scheme, width, height)
        wide = browser.run("return document.documentElement.scrollWidth")
        assert wide <= width, f"{name}, {look}: {wide} pixels wide"
        browser.picture(folder and folder / f"{name}-{look}.png")
    browser.appearance()
