from __future__ import annotations

import pytest

from tests.support import chromium


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A page of a browser that starts once for a module."""
    if chromium.program() is None:
        pytest.skip("Chromium is not installed")
    with chromium.browser(tmp_path_factory.mktemp("chromium")) as page:
        page.emulate(1000, 800)
        yield page
