"""How long the page takes: from the command to a page that can be used, and from a click to the
first picture and the last. With `--screenshots` it also writes the pictures of docs/app.md.

Run with `python benchmarks/app.py`; needs Chromium (`apt-get install chromium`).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import records
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console

ROOT = Path(__file__).parents[1]
PORT = 7891
ADDRESS = f"http://127.0.0.1:{PORT}/"
PATIENCE = 120_000

TABS = {
    "steer": "Steer",
    "video": "Video",
    "remove": "Remove",
    "learn": "Learn",
    "inside": "Look inside",
    "compare": "Compare",
}


@contextmanager
def server(python: str = sys.executable) -> Iterator[float]:
    """The page in a process of its own; yields the seconds until it answers."""
    began = time.perf_counter()
    command = [python, str(ROOT / "app.py"), "--port", str(PORT)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        while True:
            try:
                urllib.request.urlopen(ADDRESS, timeout=5).read()
                break
            except OSError:
                if process.poll() is not None:
                    sys.exit("the page ended before it answered")
                time.sleep(0.05)
        yield time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(timeout=30)


def opened(browser: Browser, *, dark: bool = False, width: int = 1280) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light"
    )
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(ADDRESS)
    page.wait_for_selector("#steer-go")
    return page


def turn_to(page: Page, title: str) -> None:
    tab = page.get_by_role("tab", name=title, exact=True)
    if tab.count():
        tab.click()
    else:
        page.get_by_label("More tabs").click()
        page.locator(".overflow-dropdown button", has_text=title).click()


def run(page: Page, name: str) -> dict[str, float]:
    """Press a tab's button; seconds to the first picture, and to the last word."""
    turn_to(page, TABS[name])
    pictures = "#inside-parts" if name == "inside" else f"#{name}-pictures"
    began = time.perf_counter()
    page.locator(f"#{name}-go").click()
    page.wait_for_selector(f"{pictures} img")
    first = time.perf_counter() - began
    page.locator(f"#{name}-status .eo-good").wait_for()
    return {"first_picture": first, "done": time.perf_counter() - began}


def screenshot(page: Page, path: Path) -> None:
    page.wait_for_timeout(800)
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as image:
        image.convert("RGB").save(path, optimize=True)


def screenshots(browser: Browser, folder: Path) -> None:
    for name in TABS:
        page = opened(browser)
        if name == "learn":
            turn_to(page, "Learn")
            page.locator("#learn-init textarea, #learn-init input").first.fill("house")
        run(page, name)
        if name == "learn":
            page.locator("#try-go").click()
            page.locator("#try-status .eo-good", has_text="Done").wait_for()
        screenshot(page, folder / f"app-{name}.png")
        page.context.close()
    for path, look in (
        ("app-dark.png", {"dark": True}),
        ("app-phone.png", {"width": 390}),
    ):
        page = opened(browser, **look)  # type: ignore[arg-type]
        run(page, "steer")
        screenshot(page, folder / path)
        page.context.close()


def measured(times: int, tabs: list[str], python: str) -> dict[str, object]:
    """Medians over fresh servers, a fresh browser page each."""
    starts, loads = [], []
    clicks: dict[str, list[dict[str, float]]] = {name: [] for name in tabs}
    for _ in range(times):
        with server(python) as answers, sync_playwright() as playwright:
            browser = launched(playwright.chromium.launch)
            began = time.perf_counter()
            page = opened(browser)
            loads.append(time.perf_counter() - began)
            starts.append(answers)
            for name, found in clicks.items():
                found.append(run(page, name))
            browser.close()
    return {
        "runs": times,
        "until_it_answers": records.spread(starts),
        "until_interactive": records.spread([a + b for a, b in zip(starts, loads, strict=True)]),
        "rows": {
            TABS[name]: {key: records.spread([one[key] for one in found]) for key in found[0]}
            for name, found in clicks.items()
        },
    }


def launched(launch: Callable[..., Browser]) -> Browser:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("no Chromium here: apt-get install chromium")
    return launch(executable_path=chromium, args=["--no-sandbox"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--only", choices=list(TABS), nargs="+", default=list(TABS))
    parser.add_argument("--python", default=sys.executable, help="the page's, if not this one")
    parser.add_argument("--screenshots", type=Path, help="only write them, to this folder")
    parser.add_argument("--no-result", action="store_true")
    arguments = parser.parse_args()
    if arguments.screenshots is not None:
        with server(), sync_playwright() as playwright:
            browser = launched(playwright.chromium.launch)
            screenshots(browser, arguments.screenshots)
            browser.close()
        return
    results = measured(arguments.times, arguments.only, arguments.python)
    Console().print(results)
    if not arguments.no_result:
        records.write("app", results)


if __name__ == "__main__":
    main()
