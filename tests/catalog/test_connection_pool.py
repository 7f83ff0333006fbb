"""The pool of connections to the catalog's file."""

from __future__ import annotations

import contextlib
import os
import subprocess

import pytest

from histfs.catalog.connection_pool import ConnectionPool
from histfs.core.errors import NoSpace


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_a_full_disk_keeps_nothing_from_being_read(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=True)
    try:
        with contextlib.closing(ConnectionPool(tmp_path / "catalog.sqlite")) as pool:
            with contextlib.suppress(OSError), (tmp_path / "rest").open("wb", buffering=0) as rest:
                while rest.write(b"x" * 4096):
                    pass
            with pytest.raises(NoSpace), pool.transaction() as db:
                db.execute("INSERT INTO notes VALUES ('large', zeroblob(2000000))")
            assert pool.rows("SELECT count(*) FROM notes WHERE name = 'large'") == [(0,)]
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)
