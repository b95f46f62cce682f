"""Hostile names, phones, contrast and labels, in a headless Chromium."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from snapshot_assets_tests.dashboard.browser.browsing import (
    PATHS,
    opened,
    wait_painted,
)
from snapshot_assets_tests.support.world import (
    HOSTILE_HOST,
    HOSTILE_USER,
    World,
)


def test_hostile_names_are_shown_as_text(site: str, page: Page) -> None:
    for path in ("", "users", f"users?{urlencode({'user': HOSTILE_USER})}", "now", "statement"):
        page.goto(site + path)
        shown = HOSTILE_HOST if path == "" else HOSTILE_USER
        expect(page.locator("main")).to_contain_text(shown)
        assert page.title() == "Who uses which machine"
        assert page.locator("main img").count() == 0
    page.goto(f"{site}?find=web&range=1h".replace("web", "we%22b"))
    wait_painted(page, "overview")
    box = page.locator(".card .chart").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    expect(page.locator("#tooltip")).to_contain_text(HOSTILE_USER)
    expect(page.locator("#tooltip")).to_contain_text("80 % of this time is covered")
    assert page.locator("#tooltip img").count() == 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone(world: World, chromium: Browser, path: str, scheme: Any) -> None:
    with world.site() as site, opened(chromium, color_scheme=scheme) as page:
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(site + path)
        expect(page.locator("main")).to_contain_text(re.compile("alice|ana|python"))
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        page.locator("#theme").click()
        other = {"light": "dark", "dark": "light"}[scheme]
        page.reload()
        assert page.evaluate("document.documentElement.dataset.theme") == other


def test_texts_have_contrast_and_controls_have_names(site: str, page: Page) -> None:
    for path in PATHS:
        page.goto(site + path)
        expect(page.locator("main")).to_contain_text(re.compile("alice|ana|python"))
        for _ in ("light", "dark"):
            page.locator("#theme").click()
            theme = page.evaluate("document.documentElement.dataset.theme")
            assert page.evaluate(_LOW_CONTRAST) == [], f"{path} {theme}"
        assert page.evaluate(_NAMELESS) == [], path


# Of each element with text of its own: its colour against the first opaque one behind it.
_LOW_CONTRAST = """() => {
  const parse = (text) => {
    const scale = text.startsWith('color') ? 255 : 1;  // color(srgb 0.1 0.2 0.3)
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return { rgb: [r, g, b].map((v) => v * scale / 255), a };
  };
  const light = ({ rgb }) => rgb
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const left_out = 'svg, [hidden], noscript, .pin, .skip';
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest(left_out)) continue;
    let behind = element, back;
    do { back = parse(getComputedStyle(behind).backgroundColor); behind = behind.parentElement; }
    while (back.a < 1 && behind);
    const both = [light(parse(getComputedStyle(element).color)), light(back)];
    const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    const what = `${element.className} ${element.textContent.slice(0, 30)}`;
    if (ratio < 4.5) found.push(`${what} ${ratio.toFixed(1)}`);
  }
  return found;
}"""


_NAMELESS = """() => {
  const name = (e) => e.textContent.trim() || e.getAttribute('aria-label')
    || e.labels?.[0]?.textContent.trim();
  return [...document.querySelectorAll('button, input:not([type=radio]), a[href]')]
    .filter((e) => e.checkVisibility() && !e.closest('.ag-root-wrapper') && !name(e))
    .map((e) => e.outerHTML);
}"""
