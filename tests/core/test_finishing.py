"""The queue between the program and the worker."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_llm import drops, threads
from otel_llm.finishing import Finisher


class Item:
    def __init__(self, done: list[int], number: int, nbytes: int = 10) -> None:
        self.done, self.number, self.nbytes = done, number, nbytes
        self.was_shed = self.abandoned = False

    def finish(self) -> None:
        self.done.append(self.number)

    def shed(self) -> None:
        self.was_shed, self.nbytes = True, 0

    def abandon(self) -> None:
        self.abandoned = True


class Broken(Item):
    def finish(self) -> None:
        raise ValueError("broken on purpose")


def eventually(condition, timeout: float = 5.0) -> bool:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["put", "drain"]), max_size=40))
def test_items_finish_in_the_order_in_which_they_were_handed_over(steps: list[str]) -> None:
    finisher, done, n = Finisher(1 << 20, linger_s=0.001), [], 0
    for step in steps:
        if step == "put":
            finisher.put(Item(done, n))
            n += 1
        else:
            assert finisher.drain(5)
            assert done == list(range(n))
    assert finisher.drain(5)
    assert done == list(range(n))
    finisher.close(1)


def test_items_finish_by_themselves_a_moment_later() -> None:
    finisher, done = Finisher(1 << 20), []
    started = time.monotonic()
    finisher.put(Item(done, 1))
    assert done == []  # not on the caller's thread
    assert eventually(lambda: done == [1])
    assert time.monotonic() - started < 1
    finisher.put(Item(done, 2))
    assert eventually(lambda: done == [1, 2])
    finisher.close(1)


def test_a_broken_item_is_counted_and_the_next_one_finishes() -> None:
    finisher, done = Finisher(1 << 20), []
    finisher.put(Broken(done, 1))
    finisher.put(Item(done, 2))
    assert finisher.drain(5)
    assert done == [2]
    assert drops.counts() == {("internal_error", "finishing"): 1}
    finisher.close(1)


def test_a_full_queue_sheds_bodies_and_counts_them_and_still_finishes_the_items() -> None:
    finisher, done = Finisher(8192, linger_s=60), []
    items = [Item(done, n, nbytes=6000) for n in range(4)]
    for item in items:
        finisher.put(item)
    assert [item.was_shed for item in items] == [False, True, False, False]
    assert [item.abandoned for item in items] == [False, False, True, True]
    assert finisher.drain(5)
    assert done == [0, 1]
    assert drops.counts() == {("body", "queue_full"): 1, ("call", "queue_full"): 2}
    finisher.close(1)


def test_twenty_thousand_items_at_once_are_all_finished() -> None:
    finisher, done = Finisher(256 << 20), []
    for n in range(20_000):
        finisher.put(Item(done, n, nbytes=4_000))
    assert finisher.drain(60)
    assert done == list(range(20_000))
    assert drops.counts() == {}
    finisher.close(1)


def test_many_threads_lose_nothing_and_keep_their_own_order() -> None:
    finisher, done = Finisher(256 << 20, linger_s=0.001), []

    def work(base: int) -> None:
        for n in range(500):
            finisher.put(Item(done, base + n))

    threads = [threading.Thread(target=work, args=(base,)) for base in range(0, 8000, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert finisher.drain(10)
    assert sorted(done) == [base + n for base in range(0, 8000, 1000) for n in range(500)]
    for base in range(0, 8000, 1000):
        mine = [n for n in done if base <= n < base + 1000]
        assert mine == sorted(mine)
    finisher.close(1)


def test_a_finalizer_that_runs_while_the_queue_is_worked_on_may_put() -> None:
    """A garbage collection may run anywhere, also inside `put` and in the worker."""
    finisher, done = Finisher(1 << 20, linger_s=0.001), []

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            finisher.put(Item(done, -1))

    threshold = gc.get_threshold()
    gc.set_threshold(5, 2, 2)
    try:
        for n in range(2000):
            Cycle()
            finisher.put(Item(done, n))
        gc.collect()
        assert finisher.drain(10)
    finally:
        gc.set_threshold(*threshold)
    assert done.count(-1) == 2000
    assert [n for n in done if n >= 0] == list(range(2000))
    finisher.close(1)


def test_draining_gives_up_in_time_when_an_item_hangs() -> None:
    finisher, release = Finisher(1 << 20, linger_s=0.001), threading.Event()

    class Hanging(Item):
        def finish(self) -> None:
            release.wait(10)

    finisher.put(Hanging([], 1))
    time.sleep(0.1)
    started = time.monotonic()
    assert not finisher.drain(0.2)
    assert time.monotonic() - started < 1
    release.set()
    finisher.close(1)


def test_a_forked_child_starts_empty_and_works() -> None:
    finisher, done = Finisher(1 << 20, linger_s=60), []
    finisher.put(Item(done, 1))
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        finisher.after_fork_in_child()
        finisher.put(Item(done, 2))
        finisher.drain(5)
        os.write(write, repr(done).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b"[2]"
    assert finisher.drain(5)
    assert done == [1]
    finisher.close(1)
    os.close(read)
    os.close(write)


def test_what_exits_or_is_cancelled_ends_no_thread_of_ours() -> None:
    finisher = Finisher(1 << 20, linger_s=0.001)
    finished: list[str] = []

    class One:
        nbytes = 0

        def __init__(self, name: str, error: BaseException | None = None) -> None:
            self.name, self.error = name, error

        def finish(self) -> None:
            if self.error is not None:
                raise self.error
            finished.append(self.name)

        def shed(self) -> None: ...

        def abandon(self) -> None: ...

    for item in (One("a"), One("b", SystemExit(3)), One("c"), One("d", asyncio.CancelledError()), One("e")):
        finisher.put(item)
    assert eventually(lambda: finished == ["a", "c", "e"])
    finisher.put(One("f"))
    assert eventually(lambda: finished[-1] == "f")
    assert drops.counts() == {("internal_error", "finishing"): 2}


def test_where_no_thread_could_be_had_the_next_item_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    finisher, finished = Finisher(1 << 20, linger_s=0.001), []

    class One:
        nbytes = 0

        def finish(self) -> None:
            finished.append(self)

        def shed(self) -> None: ...

        def abandon(self) -> None: ...

    with monkeypatch.context() as without:
        without.setattr(threads, "start", none_left)
        for _ in range(3):
            finisher.put(One())
    assert finished == []
    finisher.put(One())
    assert eventually(lambda: len(finished) == 4)
