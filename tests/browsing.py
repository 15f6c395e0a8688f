"""A headless Chromium that tests look at pages with."""

import contextlib
import json
import shutil

import pytest


@contextlib.contextmanager
def browser(folder):
    """The browser, its own files in a folder; the test is skipped where there is none."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser: pip install selenium")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("no chromium and chromedriver here: apt-get install chromium chromium-driver")
    options = selenium.ChromeOptions()
    options.binary_location = binary
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-dev-shm-usage",
                 "disable-background-networking", "disable-component-update", "disable-sync", "window-size=1000,900",
                 f"user-data-dir={folder}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    try:
        yield found
    finally:
        found.quit()


def errors_and_requests(driver):
    """What the browser complains of, and the addresses that the page asked for, but for data inside it."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = {message["params"]["request"]["url"].partition("#")[0] for message in messages
             if message["method"] == "Network.requestWillBeSent"
             and message["params"].get("documentURL", "").startswith("file:")}
    return driver.get_log("browser"), {url for url in asked if not url.startswith("data:")}


def violations(driver):
    """What axe finds that shuts people out."""
    axe = pytest.importorskip("axe_core_python.selenium", reason="axe looks at the page: pip install axe-core-python")
    return [(rule["id"], rule["nodes"][0]["html"]) for rule in axe.Axe().run(driver)["violations"]]
