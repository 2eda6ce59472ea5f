"""What was acknowledged is there, however the receiver or its disk ends; what was not is sent again and there once."""

from __future__ import annotations

import http.client
import logging
import os
import signal
import threading
import time

from otel_llm.receiving import writing
from otel_llm.store import StoreReader

from .requests import PROTOBUF, body, pair, span, traces


def post(port, data, timeout=30):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", "/v1/traces", data, {"content-type": PROTOBUF})
        return connection.getresponse().status
    finally:
        connection.close()


def names(store):
    return sorted(found.name for found in StoreReader(store).spans())


def test_what_was_acknowledged_before_a_kill_is_in_the_store(command, tmp_path):
    running = command()
    acknowledged = []

    def send(sender):
        for number in range(10_000):
            name = f"{sender}.{number}"
            try:
                if post(running.port, body(span(name, attributes={"t": "x" * 5000}))) != 200:
                    return
            except (OSError, http.client.HTTPException):
                return
            acknowledged.append(name)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(acknowledged) < 150 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(running.process.pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert len(acknowledged) >= 150
    stored = names(tmp_path / "store")
    assert set(acknowledged) <= set(stored)
    assert len(stored) <= len(acknowledged) + 3


def test_spans_that_are_sent_again_are_there_once(receiving, tmp_path):
    running = receiving()
    one, two, three = span("one"), span("two"), span("three")
    assert running.post(body(one, two))[0] == 200
    assert running.post(body(one, two))[0] == 200  # the same request, as an exporter repeats it
    assert running.post(body(two, three, three))[0] == 200  # in another batch, as a Collector may
    assert running.stop()
    again = receiving()  # as after a kill: nothing of it is in memory
    assert again.post(body(three, one, span("four")))[0] == 200
    assert names(tmp_path / "store") == ["four", "one", "three", "two"]
    assert again.receiver.counts.repeated == 2
    assert again.stop()


def test_a_span_that_was_sent_open_is_there_ended_when_it_comes_again(receiving):
    running = receiving()
    one = span("one", end_time_unix_nano=0)
    assert running.post(body(one))[0] == 200
    trace_id = one.trace_id.hex()
    assert [found.end_ns for found in running.reader.trace(trace_id)] == [None]
    one.end_time_unix_nano = one.start_time_unix_nano + 5
    assert running.post(body(one))[0] == 200
    assert [found.duration_s for found in running.reader.trace(trace_id)] == [5e-9]


def test_sigterm_ends_what_has_begun_and_takes_nothing_more(command, tmp_path):
    running = command()
    data = body(span("begun"))
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("content-type", PROTOBUF)
    connection.putheader("content-length", str(len(data)))
    connection.endheaders(data[:5])
    idle = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    idle.connect()
    time.sleep(0.5)
    running.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    connection.send(data[5:])
    answer = connection.getresponse()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert idle.sock.recv(1) == b""
    idle.close()
    connection.close()
    code, out, err = running.end()
    assert (code, err) == (0, "")
    assert "stored 1 span" in out
    assert names(tmp_path / "store") == ["begun"]
    assert not list((tmp_path / "store").glob("*-wal"))


def test_sigterm_waits_no_longer_than_it_should_for_who_sends_nothing(receiving):
    running = receiving(drain_s=0.5)
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("content-type", PROTOBUF)
    connection.putheader("content-length", "100")
    connection.endheaders(b"x")
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < 5
    connection.close()


def test_a_full_disk_is_said_and_what_could_not_be_stored_comes_again(receiving, caplog, monkeypatch):
    monkeypatch.setattr(writing, "_MAX_WAIT_S", 0.3)
    running = receiving()
    assert running.post(body(span("before")))[0] == 200
    running.database._db.execute("PRAGMA max_page_count=40")  # SQLITE_FULL, as from a full disk
    noise = os.urandom(400_000).hex()
    large = body(span("large", attributes={"t": noise}))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            status, headers, answer = running.post(large)
            assert (status, headers["retry-after"]) == (503, "1")
            assert b"the disk is full" in answer
    (told,) = [record.getMessage() for record in caplog.records]
    assert "the disk is full" in told
    assert "come again" in told
    running.database._db.execute("PRAGMA max_page_count=1000000")
    deadline = time.monotonic() + 10
    while (status := running.post(large)[0]) == 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status == 200
    assert sorted(found.name for found in running.reader.spans()) == ["before", "large"]
    assert running.receiver._http._budget.used == 0
    assert running.stop()


def test_a_store_that_cannot_be_made_is_told_to_senders(receiving, tmp_path):
    (tmp_path / "file").write_text("in the way")
    running = receiving(store=tmp_path / "file")
    assert running.post(body(span()))[0] == 503
    (tmp_path / "file").unlink()
    deadline = time.monotonic() + 10
    while (status := running.post(body(span("at last")))[0]) == 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status == 200


def test_a_request_that_meets_a_bug_fails_alone_and_does_not_come_again(receiving, monkeypatch, caplog):
    running = receiving()
    writing = running.receiver._writing
    decode, serve, gate = writing._decoder.decode, writing._serve, threading.Event()
    bad = body(span("bad"))

    def buggy(signal, form, data):
        return 1 / 0 if data == bad else decode(signal, form, data)

    monkeypatch.setattr(writing._decoder, "decode", buggy)
    # Both in one transaction.
    monkeypatch.setattr(writing, "_serve", lambda group: (gate.wait(30), serve(group)))
    statuses = {}

    def post(name, data):
        statuses[name] = running.post(data)[0]

    first = threading.Thread(target=post, args=("first", body(span("first"))))
    first.start()
    while writing._queue.qsize():
        time.sleep(0.01)
    with caplog.at_level(logging.CRITICAL):
        others = [
            threading.Thread(target=post, args=given)
            for given in (("bad", bad), ("good", body(span("good"))))
        ]
        for thread in others:
            thread.start()
        deadline = time.monotonic() + 10
        while writing._queue.qsize() < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        gate.set()
        for thread in [first, *others]:
            thread.join(30)
    assert statuses == {"first": 200, "good": 200, "bad": 500}
    assert sorted(found.name for found in running.reader.spans()) == ["first", "good"]
    assert running.receiver._http._budget.used == 0


def test_a_sender_that_goes_away_harms_nobody(receiving):
    running = receiving()
    data = traces(*[span(f"s{i}", attributes={"t": "x" * 1000}) for i in range(500)]).SerializeToString()
    for cut in (10, len(data) // 2, len(data)):
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        connection.putrequest("POST", "/v1/traces")
        connection.putheader("content-type", PROTOBUF)
        connection.putheader("content-length", str(len(data)))
        connection.endheaders(data[:cut])
        connection.close()
    assert running.post(body(span("after it")))[0] == 200
    deadline = time.monotonic() + 10
    while running.receiver._http._budget.used and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running.receiver._http._budget.used == 0
    assert len(list(running.reader.spans())) in {1, 501}  # the whole request came, or was taken for gone


def test_large_resources_of_many_senders_are_stored_and_not_held(receiving):
    running = receiving()
    for number in range(30):
        request = traces(span(f"s{number}"))
        request.resource_spans[0].resource.attributes.append(pair("n", f"{number}" + "x" * 1_000_000))
        assert running.post(request.SerializeToString())[0] == 200
    database = running.database
    assert sum(map(len, database._by_content)) <= 17 << 20
    assert len(database._shared) < 30
    found = {one.name: one.resource["n"] for one in running.reader.spans()}
    assert {name: text[:-1_000_000] for name, text in found.items()} == {f"s{n}": str(n) for n in range(30)}
