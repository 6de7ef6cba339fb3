"""The page in a real Chromium: each tab's main path, wrong input, stops, visitors, phones."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from embedops import Concept

from .conftest import Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 90_000
"""Milliseconds; other work may keep the machine busy."""
expect.set_options(timeout=PATIENCE)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The sandbox needs privileges that containers do not have; the page is our own.
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Page]:
    yield from visiting(browser, server)


def visiting(browser: Browser, server: Server, width: int = 1280) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": width, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    outside: list[str] = []
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((server.address, "data:", "blob:"))
            else outside.append(request.url)
        ),
    )
    page.goto(server.address)
    expect(page.locator("#steer-go")).to_be_visible(timeout=PATIENCE)
    yield page
    context.close()
    assert outside == [], "nothing is fetched from elsewhere"


def turn_to(page: Page, tab: str) -> None:
    button = page.get_by_role("tab", name=tab, exact=True)
    if button.count():
        button.click()
    else:
        page.get_by_label("More tabs").click()
        page.locator(".overflow-dropdown button", has_text=tab).click()


def run(page: Page, name: str, says: str = "Done") -> None:
    page.locator(f"#{name}-go").click()
    expect(page.locator(f"#{name}-status")).to_contain_text(says, timeout=PATIENCE)


def pictures(page: Page, name: str) -> list[str]:
    found = page.locator(f"#{name}-pictures img")
    return [str(found.nth(k).get_attribute("src")) for k in range(found.count())]


def set_number(page: Page, name: str, value: int) -> None:
    box = page.locator(f"#{name} input[type=number]")
    box.fill(str(value))
    box.press("Tab")


def unfold(page: Page, title: str) -> None:
    page.get_by_role("button", name=title).locator("visible=true").first.click()


def test_steer(visit: Page) -> None:
    run(visit, "steer")
    shown = pictures(visit, "steer")
    assert len(set(shown)) == 6
    images = visit.locator("#steer-pictures img")
    assert "sees dagger, cat" in visit.locator("#steer-pictures figure").first.inner_text()
    assert "dagger" not in visit.locator("#steer-pictures figure").last.inner_text()
    assert images.first.evaluate("image => image.naturalWidth") == 64
    hit = visit.locator("#steer-read .eo-hit")
    expect(hit).to_have_count(1)
    assert "dagger" in hit.inner_text()
    expect(visit.get_by_role("img", name="20 of 20 steps filtered")).to_be_visible()


def test_sliders_act_at_once_and_methods_are_read_anew(visit: Page) -> None:
    visit.get_by_label("safree", exact=True).check()
    expect(visit.locator("#steer-read")).to_contain_text("safree", timeout=PATIENCE)
    visit.get_by_label("redact", exact=True).check()
    expect(visit.locator("#steer-read")).to_contain_text("reads instead", timeout=PATIENCE)
    slider = visit.locator("#steer-strength input[type=range]")
    slider.focus()
    for _ in range(20):
        slider.press("ArrowLeft")
    slider.dispatch_event("pointerup")
    expect(visit.locator("#steer-pictures")).to_contain_text("bit for bit", timeout=PATIENCE)
    shown = pictures(visit, "steer")
    assert shown[:3] == shown[3:]


def test_a_slider_that_is_only_passed_starts_nothing(visit: Page, server: Server) -> None:
    unfold(visit, "Seeds, steps and guidance")
    visit.locator("#steer-seed input").focus()
    for _ in range(5):
        visit.keyboard.press("Tab")
    visit.locator("#steer-prompt textarea").focus()
    visit.wait_for_timeout(1500)
    expect(visit.locator("#steer-status")).to_contain_text("Press Draw")
    assert server.visitors.running() == 0
    run(visit, "steer")
    set_number(visit, "steer-steps", 5)  # one that is moved does
    expect(visit.locator("#steer-status")).to_contain_text("of 5")
    expect(visit.locator("#steer-status")).to_contain_text("Done")


def test_an_example_is_one_click(visit: Page) -> None:
    visit.get_by_text("a penguin and a gift in the snow").first.click()
    expect(visit.locator("#steer-prompt textarea")).to_have_value(
        "a penguin and a gift in the snow"
    )
    run(visit, "steer")
    assert "penguin" in visit.locator("#steer-pictures").inner_text()


def test_the_code_can_be_copied(visit: Page) -> None:
    run(visit, "steer")
    visit.locator("#steer-code button").first.click()
    expect(visit.locator("#steer-python")).to_contain_text("embedops.attach")
    expect(visit.locator("#steer-command")).to_contain_text("-p redact -c weapons")
    expect(visit.locator("#steer-python").get_by_label("Copy")).to_be_visible()


@pytest.mark.parametrize(
    ("prompt", "message"),
    [("", "the prompt is empty"), ("a\nb\nc\nd\ne", "5 prompts"), ("cat " * 300, "at most 1000")],
)
def test_wrong_prompts_are_told(prompt: str, message: str, visit: Page) -> None:
    visit.locator("#steer-prompt textarea").fill(prompt)
    run(visit, "steer", message)
    expect(visit.locator("#steer-status [role=alert]")).to_be_visible()
    expect(visit.locator("#steer-stop")).to_be_disabled()


def test_html_in_a_prompt_stays_text(visit: Page) -> None:
    visit.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    evil = "a cat <img src=x onerror=alert(1)> ${alert(2)} {{alert(3)}}"
    visit.locator("#steer-prompt textarea").fill(evil)
    run(visit, "steer")
    expect(visit.locator("#steer-read h3")).to_have_text(evil)


def test_stop_ends_the_work(visit: Page, server: Server) -> None:
    unfold(visit, "Seeds, steps and guidance")
    set_number(visit, "steer-steps", 40)
    set_number(visit, "steer-each", 6)
    expect(visit.locator("#steer-stop")).to_be_disabled()
    visit.locator("#steer-go").click()
    expect(visit.locator("#steer-status")).to_contain_text("drawing", timeout=PATIENCE)
    visit.locator("#steer-stop").click()
    expect(visit.locator("#steer-status")).to_contain_text("Stopped", timeout=PATIENCE)
    expect(visit.locator("#steer-stop")).to_be_disabled()
    visit.wait_for_timeout(1500)
    assert server.visitors.running() == 0
    set_number(visit, "steer-steps", 5)
    run(visit, "steer")


def test_video(visit: Page) -> None:
    turn_to(visit, "Video")
    unfold(visit, "Seeds, steps and guidance")
    set_number(visit, "video-steps", 6)
    run(visit, "video")
    plain, steered = pictures(visit, "video")
    assert plain.startswith("data:image/webp")
    assert plain != steered


def test_remove(visit: Page) -> None:
    turn_to(visit, "Remove")
    run(visit, "remove")
    assert len(set(pictures(visit, "remove"))) == 5
    expect(visit.locator("#remove-spectrum .scatterlayer .trace")).to_have_count(4)


def test_look_inside(visit: Page) -> None:
    turn_to(visit, "Look inside")
    run(visit, "inside")
    expect(visit.locator("#inside-map .scatterlayer .trace").first).to_be_visible()
    expect(visit.locator("#inside-angles table")).to_contain_text("°")
    assert visit.locator("#inside-parts img").count() == 10
    expect(visit.locator("#inside-told")).to_contain_text("dagger")


def test_compare(visit: Page) -> None:
    turn_to(visit, "Compare")
    run(visit, "compare")
    shown = pictures(visit, "compare")
    assert len(set(shown)) == 6
    expect(visit.locator("#compare-pictures")).to_contain_text("redact → safree")
    expect(visit.locator("#compare-counts table")).to_contain_text("3 of 3")


def test_learn_stop_download_and_try(visit: Page, tmp_path: Path) -> None:
    turn_to(visit, "Learn")
    set_number(visit, "learn-steps", 300)
    visit.locator("#learn-go").click()
    expect(visit.locator("#learn-status")).to_contain_text("learning", timeout=PATIENCE)
    expect(visit.locator("#learn-loss .scatterlayer .trace").first).to_be_attached(timeout=PATIENCE)
    visit.locator("#learn-stop").click()
    expect(visit.locator("#learn-status")).to_contain_text("best so far", timeout=PATIENCE)
    expect(visit.locator("#learn-file")).to_be_enabled()
    with visit.expect_download() as download:
        visit.locator("#learn-file").click()
    saved = tmp_path / "concept.safetensors"
    download.value.save_as(saved)
    assert Concept.load(saved).token == "<toy>"
    run(visit, "try")
    assert len(set(pictures(visit, "try"))) == 6


def test_learning_draws_on_its_way(visit: Page) -> None:
    turn_to(visit, "Learn")
    set_number(visit, "learn-steps", 5)
    run(visit, "learn")
    assert len(pictures(visit, "learn")) == 10


def test_dropped_pictures(visit: Page, tmp_path: Path) -> None:
    good, broken = tmp_path / "good.png", tmp_path / "broken.png"
    Image.new("RGB", (64, 64), "teal").save(good)
    broken.write_bytes(good.read_bytes()[:50])
    turn_to(visit, "Learn")
    upload = visit.locator("#learn-files input[type=file]")
    upload.set_input_files([good, broken])
    expect(visit.get_by_text("broken.png cannot be read").first).to_be_visible(timeout=PATIENCE)
    run(visit, "learn", "broken.png cannot be read")


def test_two_visitors_at_once(browser: Browser, visit: Page, server: Server) -> None:
    others = visiting(browser, server)
    other = next(others)
    other.locator("#steer-prompt textarea").fill("a penguin in the snow")
    for page in (visit, other):
        page.locator("#steer-go").click()
    for page in (visit, other):
        expect(page.locator("#steer-status")).to_contain_text("Done", timeout=PATIENCE)
    assert not set(pictures(visit, "steer")) & set(pictures(other, "steer"))
    assert "dagger" in visit.locator("#steer-read").inner_text()
    assert "penguin" in other.locator("#steer-read").inner_text()
    assert next(others, None) is None


def test_closing_the_tab_in_the_middle(browser: Browser, server: Server) -> None:
    visits = visiting(browser, server)
    page = next(visits)
    turn_to(page, "Learn")
    page.locator("#learn-go").click()
    expect(page.locator("#learn-status")).to_contain_text("learning", timeout=PATIENCE)
    assert next(visits, None) is None
    for after in visiting(browser, server):
        after.wait_for_function("true")
        for _ in range(300):
            if not server.visitors.running():
                break
            after.wait_for_timeout(100)
        assert server.visitors.running() == 0
        run(after, "steer")


@pytest.mark.parametrize("tab", ["Steer", "Video", "Remove", "Learn", "Look inside", "Compare"])
def test_phones(tab: str, browser: Browser, server: Server) -> None:
    for page in visiting(browser, server, width=390):
        turn_to(page, tab)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390
        name = {"Look inside": "inside"}.get(tab, tab.lower())
        box = page.locator(f"#{name}-go").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert box["height"] >= 32


def test_pictures_fit_on_a_phone(browser: Browser, server: Server) -> None:
    for page in visiting(browser, server, width=390):
        run(page, "steer")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for box in page.locator("#steer-pictures img").all():
            place = box.bounding_box()
            assert place is not None
            assert place["x"] + place["width"] <= 390


def test_everything_has_a_name_for_screen_readers(visit: Page) -> None:
    for tab in ("Steer", "Video", "Remove", "Learn", "Look inside", "Compare"):
        turn_to(visit, tab)
        nameless = visit.evaluate(
            """() => [...document.querySelectorAll('input, textarea, button, select, img')]
                .filter(e => e.offsetParent && !(e.labels && e.labels.length)
                    && !e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby')
                    && !e.innerText.trim() && !e.title && !e.alt)
                .map(e => e.outerHTML.slice(0, 200))"""
        )
        assert nameless == []


def test_the_keyboard_is_enough(visit: Page) -> None:
    visit.locator("#steer-prompt textarea").focus()
    for _ in range(40):
        visit.keyboard.press("Tab")
        if visit.evaluate("document.activeElement.id") == "steer-go":
            break
    visit.keyboard.press("Enter")
    expect(visit.locator("#steer-status")).to_contain_text("Done", timeout=PATIENCE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(scheme: str, browser: Browser, server: Server) -> None:
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(server.address)
    expect(page.locator("#steer-go")).to_be_visible(timeout=PATIENCE)
    for where in (".eo-header h1", ".eo-lead", "#steer-status .eo-status", ".eo-legend"):
        ratio = contrast(page, where)
        assert ratio >= 4.5, (where, ratio)
    context.close()


def contrast(page: Page, where: str) -> float:
    """Of an element's text with the page behind it, as WCAG 2 defines it."""
    ink, paper = page.evaluate(
        """where => [getComputedStyle(document.querySelector(where)).color,
                     getComputedStyle(document.body).backgroundColor]""",
        where,
    )
    light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
