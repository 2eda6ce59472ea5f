"""The ends of a process: exit, SIGTERM, fork, multiprocessing. Each in a process of its own, with a real store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from otel_llm.store import StoreReader

SETUP = """
    import os, signal, sys, threading, time
    import otel_llm
    from otel_llm import runtime
    otel_llm.instrument(**{settings})

    class Call:
        nbytes = 0
        def __init__(self, name): self.name = name
        def finish(self): runtime.current().seat.tracer().start_span(self.name).end()
        def shed(self): pass
        def abandon(self): pass

    def call(name):
        runtime.current().finisher.put(Call(name))
"""


def run(
    program: str, tmp_path: Path, *, settings: str = "{}", timeout: float = 60, **env: str
) -> subprocess.Popen:
    code = textwrap.dedent(SETUP).replace("{settings}", settings) + textwrap.dedent(program)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen, timeout: float = 60) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def stored(tmp_path: Path) -> list[str]:
    reader = StoreReader(tmp_path / ".otel_llm")
    names = sorted(span.name for span in reader.spans())
    assert reader.problems == []
    return names


def test_a_program_that_just_ends_loses_nothing(tmp_path: Path) -> None:
    assert finish(run("for n in range(100): call(f'{n:03}')", tmp_path)) == (0, "", "")
    assert stored(tmp_path) == [f"{n:03}" for n in range(100)]


def test_a_program_that_dies_of_an_exception_loses_nothing(tmp_path: Path) -> None:
    code, _, err = finish(run("call('a'); raise SystemExit(3)", tmp_path))
    assert (code, err) == (3, "")
    assert stored(tmp_path) == ["a"]


def test_sigterm_flushes_and_still_kills(tmp_path: Path) -> None:
    process = run("call('a'); print('ready', flush=True); time.sleep(60)", tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert (code, err) == (-signal.SIGTERM, "")
    assert stored(tmp_path) == ["a"]


def test_sigterm_kills_also_where_it_comes_while_opentelemetry_holds_a_lock(tmp_path: Path) -> None:
    program = """
        call('a')
        otel_llm.force_flush()
        sdk = {'__name__': 'opentelemetry.sdk.metrics', 'threading': threading, 'os': os, 'signal': signal}
        lines = ['lock = threading.Lock()', 'def measure(kill):', ' with lock:',
                 '  if kill: os.kill(os.getpid(), signal.SIGTERM)', '  for _ in range(1000): pass']
        exec(chr(10).join(lines), sdk)
        for kill in (True, False):
            one = Call('b')
            one.finish = lambda kill=kill: sdk['measure'](kill)
            runtime.current().finisher.put(one)
        otel_llm.force_flush()
        print('survived')
    """
    process = run(program, tmp_path, settings="{'shutdown_timeout': 1.0}", timeout=20)
    assert finish(process)[0] == -signal.SIGTERM
    assert stored(tmp_path) == ["a"]


def test_a_start_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    program = """
        from opentelemetry import metrics, trace
        from opentelemetry._logs import get_logger_provider
        from otel_llm import assembly
        otel_llm.shutdown()

        def providers():
            return [type(p()).__name__ for p in
                    (trace.get_tracer_provider, metrics.get_meter_provider, get_logger_provider)]

        before = providers(), threading.active_count()
        assembly.Runtime._install = lambda self: 1 / 0
        assert not otel_llm.instrument().enabled
        assert (providers(), threading.active_count()) == before, providers()
    """
    code, _, err = finish(run(program, tmp_path))
    assert code == 0, err


def test_a_handler_of_the_program_is_left_alone(tmp_path: Path) -> None:
    program = """
        call('a')
        print(signal.getsignal(signal.SIGTERM) is mine, flush=True)
        time.sleep(60)
    """
    before = "import signal, sys\nmine = lambda *_: sys.exit(7)\nsignal.signal(signal.SIGTERM, mine)\n"
    code = before + textwrap.dedent(SETUP).replace("{settings}", "{}") + textwrap.dedent(program)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 7
    assert stored(tmp_path) == ["a"]


def test_forked_children_have_their_own_files_and_repeat_nothing(tmp_path: Path) -> None:
    program = """
        call('parent before')
        for n in range(3):
            pid = os.fork()
            if pid == 0:
                call(f'child {n}')
                otel_llm.force_flush(10)
                os._exit(0)
            os.waitpid(pid, 0)
        call('parent after')
    """
    code, _, err = finish(run(program, tmp_path, PYTHONWARNINGS="ignore"))
    assert (code, err) == (0, "")
    assert stored(tmp_path) == ["child 0", "child 1", "child 2", "parent after", "parent before"]
    assert len(list((tmp_path / ".otel_llm").glob("*.db"))) == 4


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_worker_of_multiprocessing_flushes_before_it_leaves(tmp_path: Path, method: str) -> None:
    (tmp_path / "work.py").write_text(
        textwrap.dedent(SETUP).replace("{settings}", "{}")
        + textwrap.dedent(f"""
        import multiprocessing
        def work(n):
            call(f'worker {{n}}')
        if __name__ == '__main__':
            context = multiprocessing.get_context({method!r})
            workers = [context.Process(target=work, args=(n,)) for n in range(3)]
            for worker in workers: worker.start()
            for worker in workers: worker.join()
        """)
    )
    out = subprocess.run(
        [sys.executable, "work.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (out.returncode, out.stderr) == (0, "")
    assert [name for name in stored(tmp_path) if name.startswith("worker")] == [
        "worker 0",
        "worker 1",
        "worker 2",
    ]


def test_exit_is_bounded_even_when_the_backend_hangs(tmp_path: Path) -> None:
    """A port that accepts and never answers."""
    import socket

    with socket.socket() as hanging:
        hanging.bind(("127.0.0.1", 0))
        hanging.listen(16)
        started = time.monotonic()
        code, _, err = finish(
            run(
                "call('a')",
                tmp_path,
                settings="{'shutdown_timeout': 1.0}",
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{hanging.getsockname()[1]}",
            ),
        )
        took = time.monotonic() - started
    assert code == 0
    assert "Traceback" not in err
    assert took < 8  # imports, one second each for exporters and metrics, and the noise of a shared machine
    assert stored(tmp_path) == ["a"]


def test_a_hook_of_the_lifecycle_that_breaks_breaks_nothing(tmp_path: Path) -> None:
    program = """
        def broken(*_, **__): raise RuntimeError('broken on purpose')
        active = runtime.current()
        active.finisher.drain = broken
        active.finisher.after_fork_in_child = broken
        pid = os.fork()
        if pid == 0: os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        print('fine')
    """
    code, out, err = finish(run(program, tmp_path, PYTHONWARNINGS="ignore"))
    assert (code, out) == (0, "fine\n")
    assert "Traceback" not in err
