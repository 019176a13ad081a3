"""A page in headless Chromium, where there is one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get('CHROMIUM') or shutil.which('chromium')
QUIET = (
    '--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--disable-quic',
    '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
)  # fmt: skip

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or find_spec('axe_playwright_python') is None,
    reason='Chromium (Debian: apt-get install chromium) or axe-core is not installed',
)


@contextmanager
def started() -> Iterator[Any]:
    """Start headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


def opened(browser: Any, path: Path, **context: Any) -> tuple[Any, list[str]]:
    """Open a page and collect whatever it complains of or asks of the network."""
    page = browser.new_context(**context).new_page()
    said: list[str] = []
    page.on('console', lambda message: said.append(message.text))
    page.on('pageerror', lambda error: said.append(str(error)))
    page.on(
        'request',
        lambda asked: asked.url.startswith(('file:', 'data:')) or said.append(asked.url),
    )
    page.goto(path.as_uri())
    return page, said


def check_page(browser: Any, path: Path, width: int, scheme: str) -> None:
    """Assert that a page asks for nothing, complains of nothing and can be used by all."""
    from axe_playwright_python.sync_playwright import Axe

    page, said = opened(
        browser, path, viewport={'width': width, 'height': 900}, color_scheme=scheme,
        bypass_csp=True,  # axe is put into the page
    )  # fmt: skip
    found = Axe().run(page).response
    assert len(found['passes']) > 10, 'axe looked at the page'
    wrong = [v['id'] for v in found['violations'] if v['impact'] in ('serious', 'critical')]
    assert wrong == []
    assert said == []
    assert page.evaluate('document.documentElement.scrollWidth') <= width
    assert page.evaluate('[...document.images].every(i => i.complete && i.naturalWidth > 0)')
