"""A directory that several processes write into and that a kill leaves whole."""

from __future__ import annotations

import pytest

from otel_llm.views.appending import Appender
from otel_llm.views.journal import InUseError, Journal


def test_what_was_not_written_for_good_is_cut_off(tmp_path):
    journal = Journal(tmp_path, alone=False)
    files = Appender(journal)
    files.begin(["a.csv"])
    files.append({"a.csv": b"one\n"}, {"spans": [1]})
    with (tmp_path / "a.csv").open("ab") as file:
        file.write(b"half a ro")
    journal.close()  # as a kill does
    again = Journal(tmp_path, alone=False)
    assert (tmp_path / "a.csv").read_bytes() == b"one\n"
    assert again.keys == {"spans": {1}}
    files = Appender(again)
    files.append({"a.csv": b"two\n"}, {"spans": [2]})
    assert (tmp_path / "a.csv").read_bytes() == b"one\ntwo\n"
    again.close()


def test_a_write_that_fails_leaves_nothing_that_counts(tmp_path, monkeypatch):
    journal = Journal(tmp_path, alone=False)
    files = Appender(journal)
    files.begin(["a.csv", "b.csv"])
    files.append({"a.csv": b"1\n", "b.csv": b"1\n"}, {})
    real = Journal.commit
    monkeypatch.setattr(
        Journal, "commit", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OSError, match="No space"):
        files.append({"a.csv": b"a long line\n", "b.csv": b"2\n"}, {})
    monkeypatch.setattr(Journal, "commit", real)
    files.append({"a.csv": b"2\n", "b.csv": b"2\n"}, {})
    files.close()
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes() == b"1\n2\n"
    journal.close()


def test_processes_beside_each_other_have_places_of_their_own(tmp_path):
    one, two = Journal(tmp_path, alone=False), Journal(tmp_path, alone=False)
    assert (one.slot, two.slot) == (1, 2)
    with pytest.raises(InUseError, match="is being written by another process"):
        Journal(tmp_path, alone=True)
    one.close()
    three = Journal(tmp_path, alone=False)
    assert three.slot == 1
    two.close()
    three.close()
    alone = Journal(tmp_path, alone=True)
    with pytest.raises(InUseError):
        Journal(tmp_path, alone=False)
    alone.close()


def test_who_is_alone_puts_right_what_all_others_left(tmp_path):
    journals = [Journal(tmp_path, alone=False) for _ in range(3)]
    for journal in journals:
        name = f"{journal.slot}.csv"
        files = Appender(journal)
        files.begin([name])
        files.append({name: b"x\n"}, {"spans": [journal.slot]})
        (tmp_path / name).write_bytes(b"x\nyyy")
    for journal in journals:
        journal.close()
    alone = Journal(tmp_path, alone=True)
    assert alone.keys == {"spans": {1, 2, 3}}
    assert {path.read_bytes() for path in tmp_path.glob("*.csv")} == {b"x\n"}
    alone.close()


def test_a_file_that_was_complete_goes_to_its_place_though_its_folder_was_removed(tmp_path):
    journal = Journal(tmp_path, alone=False)
    part = journal.part("calls")
    part.write_bytes(b"rows")
    gone = journal.part("gone")
    rest = journal.part("half")
    rest.write_bytes(b"half")
    inside = {part: "calls/0001.parquet", gone: "interactions/0001.parquet"}
    journal.state["renames"] = {str(one.relative_to(tmp_path)): there for one, there in inside.items()}
    journal.commit({"spans": [1]})
    journal.close()  # killed before the rename; then somebody cleans up
    again = Journal(tmp_path, alone=True)
    assert again.keys == {"spans": {1}}
    assert (tmp_path / "calls" / "0001.parquet").read_bytes() == b"rows"
    assert not rest.exists()
    assert not (tmp_path / "interactions").exists()
    again.close()
