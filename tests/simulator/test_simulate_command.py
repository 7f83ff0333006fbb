import re
import signal
import subprocess
import sys

import pytest
import requests

COMMAND = [sys.executable, "-u", "-c", "from histfs.cli.simulate import simulate; simulate()"]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_ends_with_0(end):
    options = ["--port", "0", "--items", "3", "--newest", "1000000000", "--api-key", "a key"]
    options += ["--conversations", "5", "--permission", "speech_history_read"]
    options += ["--permission", "convai_read"]
    with subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            output = process.stdout.readline() + process.stdout.readline()
            url = re.search(r"http://127\.0\.0\.1:\d+", output)[0]
            assert f"ELEVENLABS_API_KEY='a key' histfs mount --base-url {url} DIR" in output
            header = {"xi-api-key": "a key"}
            page = requests.get(f"{url}/v1/history", headers=header, timeout=5).json()
            assert len(page["history"]) == 3
            listing = requests.get(f"{url}/v1/convai/conversations", headers=header, timeout=5)
            assert len(listing.json()["conversations"]) == 5
            assert (
                requests.delete(f"{url}/v1/history/x", headers=header, timeout=5).status_code == 401
            )
            assert page["scanned_until"] <= 1_000_000_000 == page["history"][0]["date_unix"]
        finally:
            process.send_signal(end)
        _, log = process.communicate(timeout=10)
    assert process.returncode == 0
    assert log.splitlines() == [
        "GET /v1/history 200",
        "GET /v1/convai/conversations 200",
        "DELETE /v1/history/x 401",
    ]


@pytest.mark.parametrize("options", [["--newest", "soon"], ["--port", "70000"], ["--days", "0"]])
def test_it_refuses_invalid_options(options):
    refused = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert options[0] in refused.stderr
