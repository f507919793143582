"""Pages in a real Chromium: colours, contrast, accessibility, print, narrow screens."""

import pytest

from tests.oracles.pages import pages
from tests.support.browser import faults

VIEWS = {
    "overview": "",
    "feature": "#f=7",
    "toy": "#f=4",
    "dead": "#f=3",
    "text": "#t=0",
    "unknown": "#f=999999",
}


def test_figures_say_in_words_what_they_show(page):
    page.open("#f=7")
    for figure in page.all("svg[role=img]"):
        title, desc = (
            page.js("return arguments[0].querySelector(arguments[1]).textContent", figure, t)
            for t in ("title", "desc")
        )
        assert title
        assert any(c.isdigit() for c in desc)
    counts = list(pages(12)[1])[7]["panels"][1]["counts"]
    rows = page.js("""return [...document.querySelector('[data-type=histogram] details').querySelectorAll('tbody tr')]
        .map((r) => Number(r.lastChild.textContent.replace(',', '')))""")
    assert rows == counts
    heights = page.js(
        """return [...document.querySelectorAll('[data-type=histogram]:nth-of-type(2) rect')]
            .map((r) => Number(r.getAttribute('height')))"""
    )
    assert heights[:5] == pytest.approx([140 * c / counts[0] for c in counts[:5]], rel=1e-3)


def test_negative_bars_have_the_negative_colour(page):
    page.open("#f=7")
    bars = page.js(
        "return [...document.querySelectorAll('.bar')].map((b) => [b.matches('.negative'), getComputedStyle(b).fill])"
    )
    colours = {sign: {c for s, c in bars if s is sign} for sign in (True, False)}
    assert len(colours[True]) == len(colours[False]) == 1
    assert colours[True] != colours[False]


def luminance(colour):
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_on_any_activation_keeps_its_contrast(page, scheme):
    page.media(prefers_color_scheme=scheme)
    page.open("#f=7")
    ink, card, orange = page.js("""const style = (what) => getComputedStyle(document.querySelector(what));
        return [style('.line > .on').color, style('.panel').backgroundColor, style('.line > .on').backgroundColor]
            .map((colour) => colour.match(/[\\d.]+/g).map(Number))""")
    for a in range(11):
        back = [(a / 10 * o + (1 - a / 10) * c) / 255 for o, c in zip(orange[:3], card, strict=True)]
        light, dark = sorted([luminance(back), luminance([c / 255 for c in ink])])[::-1]
        assert (light + 0.05) / (dark + 0.05) >= 4.5, a


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_view(page, scheme):
    page.media(prefers_color_scheme=scheme)
    for name, view in VIEWS.items():
        page.open(view)
        if name == "feature":
            page.js("document.querySelector('.line > .peak').focus()")
            page.js("document.querySelector('details').open = true")
        if name == "text":
            page.js("document.querySelectorAll('.line > span')[2].click()")
        background = page.js("return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
        assert (int(background) > 128) == (scheme == "light")
        assert faults(page) == [], name


def test_targets_are_at_least_24_pixels_high(page):
    for view in VIEWS.values():
        page.open(view)
        small = page.js("""return [...document.querySelectorAll('button, select, input, summary, .masthead a, .step')]
            .filter((e) => e.checkVisibility()).map((e) => [e.outerHTML.slice(0, 60), e.getBoundingClientRect()])
            .filter(([, r]) => r.height < 24 || r.width < 24)""")
        assert small == []


def test_print_is_light_with_all_panels_and_no_controls(page):
    page.media("print", prefers_color_scheme="dark")
    page.open("#f=7")
    assert (
        page.js("return getComputedStyle(document.querySelector('.panel')).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    assert len(page.all("[data-type]")) == 7
    assert page.all("button, select, .masthead, details") == []
    assert (
        page.js("return getComputedStyle(document.querySelector('.line > .on')).printColorAdjust") == "exact"
    )
    page.open("#t=0")
    assert page.all("button, select") == []
    assert page.all(".line > .on")


def test_nothing_is_cut_off_on_a_narrow_screen(page):
    page.size(400)
    for view in VIEWS.values():
        page.open(view)
        assert page.js("return document.documentElement.scrollWidth") <= 400, view


def test_nothing_moves_by_itself(page):
    page.open("#f=7")
    assert page.js("return document.getAnimations().length") == 0
    assert page.js(
        "return [...document.querySelectorAll('*')].every((e) => getComputedStyle(e).transitionDuration === '0s')"
    )


def test_a_thousand_features_are_painted_soon(page, capsys):
    page.open(n=1000)
    paint = page.wait("return performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    ready = page.js("return performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart")
    with capsys.disabled():
        print(f"\n1,000 features: first contentful paint {paint:.0f} ms, list and map ready {ready} ms")
    assert 0 < paint < 5000
    assert len(page.names()) >= 50
