"""Names from label files, logs and settings stay text, also where nothing but the page itself keeps them from more."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from results.render.page import render_page
from tests.browser.conftest import Open, Shot
from tests.results.render.made_page import HOSTILE, make_page

ATTACK = (
    "<script>window.pwned=1</script>\"><img src=x onerror=window.pwned=1>'><svg onload=window.pwned=1></svg>"
    "</script></style></title></textarea><script>window.pwned=1</script><!--<script> {{7*7}} ${window.pwned=1}"
    " javascript:window.pwned=1 &lt;b&gt; \\u003cscript\\u003e __proto__ ]]>"
)
EVERYWHERE = ("mixed", "vit_demo", "sta:r=12", "runs", "node1", "Reduction", "out of memory")
"""More that a user or a file names, beside the names that are hostile already."""


def renamed(value: Any, old: str) -> Any:
    """`value` with `old` replaced by the attack: within texts that are hostile already, else whole texts."""
    if isinstance(value, str):
        return value.replace(old, ATTACK) if old == HOSTILE else ATTACK if value == old else value
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{item.name: renamed(getattr(value, item.name), old) for item in fields(value)})
    if isinstance(value, Mapping):
        return {renamed(key, old): renamed(one, old) for key, one in value.items()}
    return type(value)(renamed(one, old) for one in value) if isinstance(value, list | tuple) else value


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> str:
    page = make_page()
    for old in (HOSTILE, *EVERYWHERE):
        page = renamed(page, old)
    file = tmp_path_factory.mktemp("attacked") / "report.html"
    file.write_text(render_page(page), encoding="utf-8")
    return file.as_uri()


def expect_harmless(page: Page) -> None:
    assert page.evaluate("window.pwned") is None
    made = page.evaluate("""() => {
        const all = [...document.querySelectorAll("*")];
        return [
            all.filter((one) => one.tagName === "SCRIPT").length,
            all.filter((one) => ["IMG", "IFRAME", "OBJECT", "EMBED", "TEXTAREA"].includes(one.tagName)).length,
            all.filter((one) => one.getAttributeNames().some((name) => name.startsWith("on"))).length,
            all.filter((one) => one.tagName === "A" && !one.getAttribute("href").startsWith("#")).length,
        ];
    }""")
    assert made == [2, 0, 0, 0], "scripts, elements, attributes and links that the page does not make"


OPEN_ALL = """() => {
    const buttons = [...document.querySelectorAll("button.record")];
    for (const button of buttons) {
        button.click();
        if (!document.getElementById("record-body").textContent) throw new Error(`nothing of ${button.dataset.cell}`);
        document.getElementById("record-close").click();
    }
    return buttons.length;
}"""


def test_names_are_text_wherever_they_are_shown(attacked: str, open_page: Open, shot: Shot) -> None:
    page = open_page(attacked, bypass_csp=True)
    expect_harmless(page)
    expect(page.locator("#tables tbody th", has_text=ATTACK).first).to_be_visible()
    expect(page.locator("#figures figcaption").first).to_contain_text(ATTACK)
    for section in ("tables", "plots", "failures", "skipped"):
        expect(page.locator(f"#{section}")).to_contain_text(ATTACK)
    assert page.evaluate(OPEN_ALL) > 20
    expect_harmless(page)
    page.locator("#failures button.record").first.click()
    expect(page.locator("#record-body pre").first).to_contain_text(f"MemoryError: {ATTACK}")
    shot(page, "hostile")
    page.keyboard.press("Escape")
    marker = page.locator("figure.plot[data-plot=speed] [tabindex]").first
    marker.focus()
    expect(page.locator("#tip")).to_contain_text(ATTACK)
    page.evaluate("for (const one of document.querySelectorAll('button.sort, button.copy')) one.click()")
    expect(page.locator("#live")).not_to_be_empty()
    expect_harmless(page)


def test_no_other_script_runs_in_the_page(report: Page, heard: list[str]) -> None:
    report.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.pwned = 1";
        document.body.append(script);
        const picture = document.createElement("img");
        picture.setAttribute("onerror", "window.pwned = 2");
        picture.src = "https://example.org/x.png";
        document.body.append(picture);
    }""")
    report.wait_for_timeout(100)
    assert report.evaluate("window.pwned") is None
    assert len(heard) >= 2
    assert all("Content Security Policy" in said for said in heard), heard
    heard.clear()


def test_the_file_holds_no_address_of_anything_else(written: str) -> None:
    text = Path(written.removeprefix("file://")).read_text(encoding="utf-8")
    namespaces = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")
    for one in namespaces:
        text = text.replace(one, "")
    assert "http" not in text.replace("http-equiv", "")
