"""What a reader of `report.html` sees and can do, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from reports import html

pytestmark = pytest.mark.seconds(35)

Open = Callable[..., Page]

CONTRAST = """
() => {
  const parse = (text) => {
    const n = (text.match(/-?[\\d.]+(e-?\\d+)?/g) || []).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    return [n[0] * scale, n[1] * scale, n[2] * scale, n.length > 3 ? n[3] : 1];
  };
  const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3]));
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const worst = [];
  for (const element of document.querySelectorAll("main *, footer *")) {
    const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    const text = own.map((node) => node.data.trim()).join("");
    const box = element.getBoundingClientRect();
    if (!text || !box.width || !box.height || element.closest("svg, .hidden")) continue;
    const chain = [];
    let patterned = false;
    for (let e = element; e; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (style.backgroundImage !== "none") { patterned = true; break; }
      chain.push(parse(style.backgroundColor));
      if (chain.at(-1)[3] === 1) break;
    }
    if (patterned) continue;
    const ground = chain.reduceRight((under, top) => over(top, under), [255, 255, 255]);
    const ink = over(parse(getComputedStyle(element).color), ground);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    worst.push([(a + 0.05) / (b + 0.05), element.className + ": " + text.slice(0, 40)]);
  }
  worst.sort((x, y) => x[0] - y[0]);
  return [worst.length, worst[0]];
}
"""


@pytest.fixture(scope="module")
def report(stuck_pool_folder: Path) -> Path:
    return html.render(stuck_pool_folder)


@pytest.fixture
def opened(browser: Browser, report: Path) -> Iterator[Open]:
    """Open the report; whatever it asked for or complained of fails the test in the end."""
    contexts: list[Any] = []
    requests: list[str] = []
    complaints: list[str] = []

    def open_report(width: int = 1280, height: int = 900, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page: Page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(report.as_uri())
        return page

    yield open_report
    for context in contexts:
        context.close()
    assert [url for url in requests if not url.startswith("data:")] == [report.as_uri()] * len(
        contexts
    )
    assert complaints == []


def ticks(page: Page) -> list[str]:
    return page.locator(".axis.above .ticks span").all_text_contents()


def plot(page: Page, key: str) -> Locator:
    return page.locator(f'.lane[data-key="{key}"] .plot')


def rate_plot(page: Page) -> dict[str, float]:
    """The box of the first plot of rates, scrolled into view."""
    first = page.locator(".lane.rates .plot").first
    first.scroll_into_view_if_needed()
    box = first.bounding_box()
    assert box is not None
    return dict(box)


def test_the_verdict_and_its_label_are_seen_at_once(opened: Open) -> None:
    page = opened()
    for seen in (".verdict .word", ".verdict .shape", ".banner", ".felt li.bad"):
        expect(page.locator(seen).first).to_be_in_viewport(ratio=1)
    expect(page.locator(".verdict .word")).to_have_text("pass")
    assert page.title().startswith("pass: writer-failover")
    assert page.locator(".verdict .shape path.sign").count() == 1


def test_the_page_never_scrolls_sideways(opened: Open) -> None:
    page = opened()
    for zoom in ("reset", "fault"):
        page.locator(f"button[data-do={zoom}]").click()
        for width in (320, 390, 768, 1280, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_hovering_shows_what_every_lane_holds_at_that_instant(opened: Open) -> None:
    page = opened()
    box = rate_plot(page)
    before = page.locator(".chart").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20)
    expect(page.locator(".cursor")).to_be_visible()
    assert page.locator(".chart").bounding_box() == before, "nothing moves under the pointer"
    expect(page.locator(".axis.above .when")).to_have_text(re.compile(r"^\+1[12]\.\d{3} s$"))
    expect(page.locator(".axis.below .when")).to_have_text(re.compile(r"\.\d{3} UTC$"))
    said = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.lane')]"
        ".map((lane) => [lane.dataset.key, lane.querySelector('output').textContent]))"
    )
    rates = [text for key, text in said.items() if str(key).startswith("rate-")]
    assert any(re.match(r"^\d+ failed in ", str(text)) for text in rates)
    assert any(re.match(r"^\d+ ok in ", str(text)) for text in rates)
    assert said["role-gameday-instance-2"] == "writer"
    assert said["errors-default-pool"] == "25006 ReadOnlySqlTransaction"
    page.mouse.move(5, 5)
    expect(page.locator(".cursor")).to_be_hidden()
    assert not any(page.locator(".lane output").all_text_contents())


def test_dragging_zooms_and_reset_restores(opened: Open) -> None:
    page = opened()
    before = ticks(page)
    box = rate_plot(page)
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.38, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.45, y, steps=4)
    expect(page.locator(".selection")).to_be_visible()
    page.mouse.move(box["x"] + box["width"] * 0.5, y, steps=4)
    page.mouse.up()
    expect(page.locator(".selection")).to_be_hidden()
    zoomed = ticks(page)
    assert zoomed != before
    assert all(float(t.rstrip(" s").replace("\u2212", "-")) < 5 for t in zoomed)
    expect(page.locator(".range")).to_have_text(re.compile(r"s to \+\d"))
    view = page.locator(".lane.rates svg").first.get_attribute("viewBox")
    assert view is not None
    assert view.split(" ")[0] != "0"
    page.locator("button[data-do=reset]").click()
    assert ticks(page) == before
    expect(page.locator(".range")).to_have_text("")


def test_a_zoom_keeps_every_lane_on_the_same_axis(opened: Open) -> None:
    page = opened()
    page.locator("button[data-do=fault]").click()
    band = page.locator(".band").bounding_box()
    verb = page.locator('.lane[data-key^="fault-"] .seg').first.bounding_box()
    zero = page.locator(".axis.above .ticks span", has_text=re.compile("^0$")).bounding_box()
    assert band is not None
    assert verb is not None
    assert zero is not None
    assert verb["x"] == pytest.approx(band["x"], abs=1.5)
    assert zero["x"] + zero["width"] / 2 == pytest.approx(band["x"], abs=1.5)


def test_the_wheel_zooms_with_control_and_scrolls_without(opened: Open) -> None:
    page = opened()
    before = ticks(page)
    box = rate_plot(page)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.wheel(0, 60)
    assert ticks(page) == before
    box = rate_plot(page)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.keyboard.down("Control")
    for _ in range(6):
        page.mouse.wheel(0, -120)
    page.keyboard.up("Control")
    page.wait_for_function("document.querySelector('.range').textContent !== ''")
    assert ticks(page) != before


def test_the_keyboard_moves_zooms_and_folds(opened: Open) -> None:
    page = opened()
    before = ticks(page)
    page.locator(".chart").focus()
    page.keyboard.press("ArrowRight")
    first = page.locator(".axis.above .when").text_content()
    page.keyboard.press("Shift+ArrowRight")
    assert page.locator(".axis.above .when").text_content() != first
    page.keyboard.press("+")
    assert ticks(page) != before
    page.keyboard.press("0")
    assert ticks(page) == before
    page.keyboard.press("f")
    assert ticks(page) != before
    page.keyboard.press("Escape")
    assert ticks(page) == before
    lane = page.locator('details[data-group="probes"] .lane').first
    expect(lane).to_be_visible()
    page.locator('details[data-group="probes"] summary').focus()
    page.keyboard.press("Enter")
    expect(lane).to_be_hidden()


def test_without_a_script_everything_is_there(browser: Browser, report: Path) -> None:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, java_script_enabled=False
    )
    page = context.new_page()
    page.goto(report.as_uri())
    for seen in (
        ".verdict .word",
        ".interruptions",
        ".lane.rates svg",
        ".seg.role-writer",
        ".instants",
        ".axis.above .ticks span",
        ".window.open em",
        ".story",
        "pre",
        ".review",
    ):
        expect(page.locator(seen).first).to_be_visible()
    expect(page.locator(".tools")).to_be_hidden()
    band = page.locator(".band").bounding_box()
    assert band is not None
    assert 100 < band["width"] < 400, "placed by the style sheet alone"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_schemes(opened: Open, scheme: str) -> None:
    page = opened(color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 29)"}[scheme]
    looked_at, (ratio, where) = page.evaluate(CONTRAST)
    assert looked_at > 300
    assert ratio >= 4.5, where


def test_recorded_text_runs_nothing(opened: Open) -> None:
    page = opened()
    assert "owned" not in page.title()
    expect(page.get_by_text('<script>document.title="owned"</script>').first).to_be_attached()


def test_a_printed_page_has_no_tools_and_all_lanes(opened: Open) -> None:
    page = opened()
    page.emulate_media(media="print")
    expect(page.locator(".tools")).to_be_hidden()
    expect(page.locator(".lane.rates svg").first).to_be_visible()


def test_plots_speak_to_screen_readers(opened: Open) -> None:
    page = opened()
    plots = page.locator(".lane svg")
    assert plots.count() > 10
    dumb = page.locator('.lane svg:not([role="img"][aria-label])')
    assert dumb.count() == 0
    said = plots.first.get_attribute("aria-label")
    assert said is not None
    assert re.match(r"default-pool, write · cluster: .*\d failed", said)
    assert page.locator('.scroll:not([tabindex="0"][role="region"][aria-label])').count() == 0
