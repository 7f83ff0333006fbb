"""Work in the background: who waits for it hears that it is ready, or how it ended."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

TIMEOUT = 30

#: What is run in a process of its own: a fork of the tests' process would take its threads along.
HEAD = """
import os, signal, sys, time
from histfs.background import run_in_background
"""


def run(script):
    return subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(script)],
        capture_output=True, text=True, timeout=TIMEOUT,
    )  # fmt: skip


@pytest.mark.parametrize("status", [0, 2, 69, 77, 78])
def test_the_status_of_work_that_ends_before_it_is_ready_is_handed_on(status):
    done = run(f"sys.exit(run_in_background(lambda ready: {status}))")
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


def test_what_work_says_before_it_is_ready_is_for_the_terminal():
    done = run("""
        def work(ready):
            print("to be seen", file=sys.stderr)
            return 5
        sys.exit(run_in_background(work))
    """)
    assert (done.returncode, done.stderr) == (5, "to be seen\n")


def test_it_returns_when_the_work_is_ready_and_the_work_goes_on_without_the_terminal(tmp_path):
    # Pipes, so that each side waits for the other.
    os.mkfifo(tmp_path / "go")
    os.mkfifo(tmp_path / "done")
    done = run(f"""
        def work(ready):
            ready()
            print("never to be seen")
            print("nor this", file=sys.stderr)
            with open({str(tmp_path / "go")!r}) as go:
                go.read()
            with open({str(tmp_path / "done")!r}, "w") as file:
                file.write(str(os.getsid(0) == os.getpid()))
            return 9
        sys.exit(run_in_background(work))
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (tmp_path / "go").write_text("on")
    # Opened by the work at its end, with the answer to whether it leads a session of its own.
    assert (tmp_path / "done").read_text() == "True"


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_work_that_is_killed_is_reported(name):
    done = run(f"""
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.exit(run_in_background(lambda ready: os.kill(os.getpid(), signal.{name})))
    """)
    assert done.returncode == 1
    assert "killed by signal" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_work_that_fails_unexpectedly_is_reported():
    done = run("sys.exit(run_in_background(lambda ready: 1 // 0))")
    assert done.returncode == 1
    assert "division" in done.stderr


def test_nothing_after_it_runs_twice():
    done = run("""
        status = run_in_background(lambda ready: 3)
        print("once")
    """)
    assert done.stdout == "once\n"


def test_an_interrupt_while_it_waits_ends_the_work():
    done = run("""
        def work(ready):
            signal.signal(signal.SIGTERM, lambda *_: (print("ended", flush=True), os._exit(0)))
            os.kill(os.getppid(), signal.SIGINT)
            time.sleep(20)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            run_in_background(work)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """)
    assert "ended" in done.stdout.replace("interrupted", "")
    assert "interrupted" in done.stdout
