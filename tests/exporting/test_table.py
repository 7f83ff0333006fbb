"""`histfs table`: a row an item, a file a month, and only the months that have changed."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections import Counter
from datetime import datetime, timezone

import pytest

from histfs.core.item_row import FIELDS
from histfs.exporting.destination import LOCK
from histfs.exporting.table import METADATA, STATE
from histfs.simulator import Fault, Simulator, SimulatorSettings
from tests.cli.conftest import run  # noqa: F401 - a fixture

LIST = "GET /v1/history"
CALL = "GET /v1/convai/conversations/{id}"


@pytest.fixture
def simulator():
    """An API with items of four months, and conversations."""
    with Simulator(SimulatorSettings(items=80, days=100, conversations=12)) as running:
        yield running


@pytest.fixture
def table(run, simulator, tmp_path):  # noqa: F811
    """Run the command; `table.folder` is where it writes."""

    def table(*arguments, folder=None):
        return run(
            "table", "--base-url", simulator.base_url, "--cache-dir", tmp_path / "cache",
            *arguments, folder or table.folder, key=simulator.api_key,
        )  # fmt: skip

    table.folder = tmp_path / "table"
    return table


def summary(done):
    assert (done.status, done.err) == (0, ""), done
    return json.loads(done.out)


def rows_of(folder):
    return [
        json.loads(line)
        for file in sorted(folder.glob("table/month=*/items.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]


def metadata_of(folder):
    return [
        json.loads(line) for line in (folder / METADATA).read_text(encoding="utf-8").splitlines()
    ]


def test_each_line_is_as_a_plain_encoder_writes_it(table, simulator):
    simulator.library.add(
        ids=["odd"], fields={"text": "caf\u00e9 \U0001f600", "voice_name": "Zo\u00eb"}
    )
    simulator.library.add(ids=["lone"], fields={"text": "half a \ud83d pair"})
    summary(table("--json"))
    lines = [
        (file.parent.name, line)
        for file in table.folder.glob("table/month=*/items.jsonl")
        for line in file.read_bytes().splitlines()
    ]
    assert len(lines) == 94
    for month, line in lines:
        row = json.loads(line)
        plain = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        assert line == plain.encode()
        assert tuple(row) == FIELDS
        if row["kind"] == "history":
            item = simulator.library.item(row["id"])
            moment = datetime.fromtimestamp(item["date_unix"], timezone.utc)
            assert row["time"] == f"{moment:%Y-%m-%dT%H:%M:%SZ}"
            assert month == f"month={moment:%Y-%m}" == row["audio"].split("/")[1]
    by_id = {row["id"]: row for row in rows_of(table.folder)}
    assert by_id["odd"]["text"] == "caf\u00e9 \U0001f600"
    assert by_id["odd"]["voice"] == "Zo\u00eb"
    assert by_id["lone"]["text"] == "half a ? pair"


def test_each_item_is_a_row_in_the_file_of_its_month(table, simulator):
    assert summary(table("--json"))["rows"] == 92
    rows = rows_of(table.folder)
    assert len(rows) == 92
    assert {tuple(row) for row in rows} == {FIELDS}
    by_id = {row["id"]: row for row in rows}
    assert set(simulator.library.ids()) < by_id.keys()
    for file in table.folder.glob("table/month=*/items.jsonl"):
        month = file.parent.name.removeprefix("month=")
        times = [json.loads(line)["time"] for line in file.read_text().splitlines()]
        assert {time[:7] for time in times} == {month}
    talks = [row for row in rows if row["kind"] == "conversations"]
    assert len(talks) == 12
    assert all(row["agent_id"] and row["outcome"] for row in talks)
    assert any(row["call_id"] for row in talks) and any(row["cost"] for row in talks)
    assert any(row["agent"] for row in talks)
    assert any(row["duration"] for row in talks) and any(row["language"] for row in talks)
    assert any("user:" in (row["text"] or "") for row in talks)


def test_where_chooses_rows_by_their_fields_and_another_choice_writes_all_anew(table, simulator):
    summary(table("--json"))
    everything = rows_of(table.folder)
    rachel = [row for row in everything if row["voice"] == "Rachel"]
    found = summary(table("--json", "--where", "voice=Rachel"))
    assert found["rows"] == len(rachel) > 1
    assert sorted(map(str, rows_of(table.folder))) == sorted(map(str, rachel))
    assert {line["speaker"] for line in metadata_of(table.folder)} == {"Rachel"}
    assert summary(table("--json", "--where", "voice=Rachel"))["written"] == []
    voice, model = rachel[0]["voice_id"], rachel[0]["model"][:-3]
    narrow = [
        row["id"] for row in rachel if row["voice_id"] == voice and row["model"].startswith(model)
    ]
    summary(table("--json", "--where", f"model={model}*", "--where", f"voice={voice}"))
    assert 0 < len(narrow) < len(rachel)
    assert [row["id"] for row in rows_of(table.folder)] == narrow
    silent = summary(table("--json", "--where", "voice="))
    assert silent["rows"] == sum(row["voice"] is None for row in everything)
    summary(table("--json", "--since", "2026-01"))  # the older months, too
    assert rows_of(table.folder) == everything
    done = table("--where", "colour=blue")
    assert (done.status, "colour=blue" in done.line) == (2, True)


def test_a_second_run_writes_nothing_and_asks_for_no_details(table, simulator):
    summary(table("--json"))
    before = {file: file.stat().st_mtime_ns for file in table.folder.rglob("*.json*")}
    final = simulator.counts[CALL]
    again = summary(table("--json"))
    assert (again["written"], again["removed"]) == ([], [])
    assert before == {file: file.stat().st_mtime_ns for file in table.folder.rglob("*.json*")}
    assert simulator.counts[CALL] - final <= 1  # one that still goes on


def test_only_the_months_that_changed_are_written(table, simulator):
    assert len(summary(table("--json"))["written"]) == 4
    other = table.folder / "table" / "month=2025-12" / "items.jsonl"
    untouched = other.stat().st_mtime_ns
    simulator.library.add(ids=["newborn"], fields={"text": "I am new."})
    assert summary(table("--json"))["written"] == ["2026-01"]
    assert other.stat().st_mtime_ns == untouched
    assert [row["text"] for row in rows_of(table.folder) if row["id"] == "newborn"] == ["I am new."]
    # The metadata are those that a run from nothing writes.
    whole = table.folder.parent / "whole"
    table(folder=whole)
    assert (table.folder / METADATA).read_bytes() == (whole / METADATA).read_bytes()


def test_a_month_whose_items_are_gone_has_no_file(table, simulator):
    summary(table("--json"))
    oldest = min(row["time"][:7] for row in rows_of(table.folder))
    for row in rows_of(table.folder):
        if row["time"].startswith(oldest) and row["kind"] == "history":
            simulator.library.remove(row["id"])
    left = [r for r in rows_of(table.folder) if r["time"][:7] == oldest and r["kind"] != "history"]
    found = summary(table("--json", "--rescan", "0.001"))
    assert oldest in (found["written"] if left else found["removed"])
    assert {row["id"] for row in rows_of(table.folder) if row["kind"] == "history"} == set(
        simulator.library.ids()
    )


def test_since_leaves_earlier_months_as_they_are(table):
    assert summary(table("--json", "--since", "2026-01-15"))["written"] == ["2026-01"]
    assert [file.parent.name for file in table.folder.glob("table/*/items.jsonl")] == [
        "month=2026-01"
    ]
    assert len(summary(table("--json"))["written"]) == 3
    assert len(rows_of(table.folder)) == 92
    assert table("--since", "soon").status == 2


def test_parquet_has_the_same_rows(table):
    parquet = pytest.importorskip("pyarrow.parquet")
    summary(table("--json"))
    lines = rows_of(table.folder)
    # Another format, even of some months, is another table.
    assert (
        len(summary(table("--json", "--format", "parquet", "--since", "2026-01"))["written"]) == 4
    )
    assert list(table.folder.rglob("*.jsonl")) == [table.folder / METADATA]
    found = [
        row
        for file in sorted(table.folder.glob("table/month=*/items.parquet"))
        for row in parquet.ParquetFile(file).read().to_pylist()
    ]
    for row in found:
        row["time"] = f"{row['time']:%Y-%m-%dT%H:%M:%SZ}"
    assert found == lines


def test_the_table_is_read_by_others(table):
    pandas = pytest.importorskip("pandas")
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    summary(table("--json", "--format", "parquet"))
    frame = pandas.read_parquet(table.folder / "table")
    assert (len(frame), frame["characters"].sum() > 0) == (92, True)
    with duckdb.connect() as database:
        counted = database.sql(
            f"""
            SELECT month, count(*) FROM read_parquet(
                '{table.folder}/table/month=*/items.parquet', hive_partitioning = true
            ) GROUP BY ALL
            """
        ).fetchall()
    assert dict(counted) == Counter(frame["month"].astype(str))


def test_the_metadata_are_those_that_readers_of_datasets_expect(table):
    summary(table("--json"))
    lines = metadata_of(table.folder)
    silent = [row for row in rows_of(table.folder) if row["audio"] is None]
    assert len(lines) + len(silent) == 92 and silent
    for line in lines:
        assert line["file_name"] == line["audio_filepath"]
        assert line["file_name"].startswith("audio/month=")
        assert isinstance(line["text"], str)


def test_what_is_not_a_table_of_this_account_is_left_alone(table, simulator):
    table.folder.mkdir()
    (table.folder / METADATA).write_text("mine\n")
    assert "did not write" in (done := table("--json")).line and done.status == 65
    assert (table.folder / METADATA).read_text() == "mine\n"
    shutil.rmtree(table.folder)
    table()
    before = (table.folder / STATE).read_bytes()
    (table.folder / STATE).write_text('{"months": []}')
    assert table().status == 65
    (table.folder / STATE).write_bytes(before.replace(b'"account": "', b'"account": "0'))
    assert "another account" in table().err
    (table.folder / STATE).write_bytes(before)
    assert table().status == 0


def test_two_at_once_are_refused(table):
    table()
    with (table.folder / LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = table("--json")
    assert (done.status, done.line.count("another histfs")) == (75, 1)


def test_a_destination_that_cannot_be_made_is_one_line(table, tmp_path):
    (tmp_path / "file").write_text("")
    done = table("--json", folder=tmp_path / "file" / "below")
    assert (done.status, "can't be made" in done.line) == (78, True)


def test_a_history_that_cannot_be_listed_changes_nothing(table, simulator):
    summary(table("--json"))
    before = {file: file.read_bytes() for file in table.folder.rglob("*.json*")}
    simulator.faults.add(Fault("GET /v1/history", "status", status=401))
    assert table("--json").status == 77
    assert before == {file: file.read_bytes() for file in table.folder.rglob("*.json*")}
