from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from histfs.catalog.catalog_store import CatalogStore
from tests.support.clock import Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_store(path: Path, clock: Clock) -> Iterator[Callable[[], CatalogStore]]:
    """Opens the catalog; a second call opens it as another mount would."""
    stores: list[CatalogStore] = []

    def make() -> CatalogStore:
        stores.append(CatalogStore(path, clock))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], CatalogStore]) -> CatalogStore:
    return open_store()
