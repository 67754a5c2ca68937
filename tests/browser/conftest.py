"""A real browser, and JupyterLab as `make lab` starts it, on a copy of the workbook."""

import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from leptonfit.workbook.page import BROWSERS

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_addoption(parser):
    parser.addoption("--screenshots", type=Path, help="take the README's screenshots into this folder")


@pytest.fixture
def shoot(request):
    """Take a screenshot of a page or a part of it, where --screenshots asks for them."""
    folder = request.config.getoption("--screenshots", default=None)

    def shoot(shown, name):
        if folder is not None:
            shown.screenshot(path=folder / f"{name}.png")

    return shoot


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by playwright; its event loop ends with the file, so that other tests see none running."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is on the PATH")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: it is in the extra dev")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A fresh page; what its console says and which addresses it asks for are kept with it."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(600_000)  # ms; a busy machine is slow, and a state that never comes is found as well
    page = context.new_page()
    page.errors, page.requests = [], []
    page.on("console", lambda said: page.errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda asked: page.requests.append(asked.url))
    yield page
    context.close()


class Lab:
    """A running JupyterLab."""

    def __init__(self, port, token, folder, opened):
        self.token, self.folder, self.opened = token, folder, opened
        self.address = f"http://127.0.0.1:{port}"

    def url(self, path, *, token=True):
        """An address of it."""
        return f"{self.address}/{path}" + (f"?token={self.token}&reset" if token else "")


@pytest.fixture(scope="module")
def lab(root, browser, tmp_path_factory):
    """JupyterLab by the command of `make lab`, on a copy of notebooks and data, ended by its own handle."""
    place = tmp_path_factory.mktemp("lab")
    shutil.copytree(root / "notebooks", place / "notebooks")
    said = subprocess.run(["make", "-n", "lab"], cwd=root, capture_output=True, text=True, check=True).stdout
    (command,) = (shlex.split(line) for line in said.splitlines() if "jupyter lab" in line)
    command[0] = str(Path(sys.executable).parent / "jupyter")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    more = [
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]
    own = {
        name: str(place / name.lower())
        for name in (
            "HOME",
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
            "IPYTHONDIR",
        )
    }
    for folder in own.values():
        Path(folder).mkdir()
    news = Path(own["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", "apputils-extension", "notification.jupyterlab-settings")
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false"}')  # it would ask
    opened = place / "opened"  # what the user's browser would be told to open
    viewer = place / "viewer"
    viewer.write_text(f'#!/bin/sh\nprintf %s "$1" > {shlex.quote(str(opened))}\n')
    viewer.chmod(0o755)
    environment = {**os.environ, **own, "LEPTONFIT_REPORT": str(place / "report"), "BROWSER": f"{viewer} %s"}
    log = place / "log"
    with log.open("w") as out:
        process = subprocess.Popen([*command, *more], cwd=place, env=environment, stdout=out, stderr=out)
        try:
            running = Lab(port, token, place / "notebooks", opened)
            for _ in range(2400):
                assert process.poll() is None, log.read_text()
                try:
                    with urllib.request.urlopen(running.url("api/status"), timeout=5):
                        break
                except OSError:
                    time.sleep(0.25)
            else:
                pytest.fail(f"JupyterLab did not answer within ten minutes: {log.read_text()}")
            yield running
        finally:
            process.terminate()
            process.wait(timeout=30)


def pytest_terminal_summary(terminalreporter):
    """What was measured in the browser."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties if report.when == "call" else ():
            terminalreporter.write_line(f"{name}: {value}")
