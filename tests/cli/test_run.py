"""`otel-llm run` runs a program as Python would, and sees it."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from otel_llm.cli.run import BOOTSTRAP, RunError, environment, parse, resolve

SEES = "import otel_llm; print('seen' if otel_llm.status()['instrumented'] else 'not seen')\n"


def python(tmp_path, *arguments, stdin=""):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )


SAME = {
    "what a program sees of itself": (
        "import json, signal, sys, helper\n"
        "print(sys.argv, sys.path, __name__, __file__, sys.modules['__main__'].__spec__, helper.X)\n"
        "print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGPIPE), sys.flags, sys.executable)\n"
    ),
    "standard input": "print(input()[::-1])",
    "an exit code": "import sys; sys.exit(7)",
    "an exit text": "import sys; sys.exit('no')",
    "a traceback": "def f():\n    1 / 0\nf()",
    "a syntax error": "def f(:",
    "an unbuffered death": "import os; os._exit(3)",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "an interrupt": "import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(5)",
}


@pytest.mark.parametrize("what", SAME)
def test_a_script_behaves_as_under_python(what, otel_llm, script, tmp_path):
    script("X = 3", "helper.py")
    path = script(SAME[what])
    plain = python(tmp_path, path, "--model", "x y", stdin="stdin\n")
    seen = otel_llm("run", path, "--model", "x y", stdin="stdin\n")
    assert (seen.stdout, seen.stderr, seen.returncode) == (plain.stdout, plain.stderr, plain.returncode)


def test_a_relative_script_and_a_missing_one_are_as_under_python(otel_llm, script, tmp_path):
    script("import sys; print(sys.argv[0], sys.path[0], __file__)")
    for name in ("program.py", "nowhere.py"):
        plain = python(tmp_path, name)
        seen = otel_llm("run", name)
        assert (seen.stdout, seen.stderr, seen.returncode) == (plain.stdout, plain.stderr, plain.returncode)


def test_a_module_runs_as_under_python(otel_llm, script, tmp_path):
    script("", "package/__init__.py")
    script("import sys; print(sys.argv, sys.path[0], __name__, __package__)", "package/tool.py")
    plain = python(tmp_path, "-m", "package.tool", "-v", "1")
    seen = otel_llm("run", "-m", "package.tool", "-v", "1")
    assert (seen.stdout, seen.stderr, seen.returncode) == (plain.stdout, plain.stderr, plain.returncode)


def test_the_program_is_instrumented_before_its_first_import_and_pays_for_no_command_line(otel_llm, script):
    program = script(
        "import sys\n"
        "before = set(sys.modules)\n"
        "print('otel_llm.runtime' in before, [m for m in ('typer', 'rich', 'httpx', 'openai') if m in before])\n"
        + SEES
    )
    assert otel_llm("run", program).stdout == "True []\nseen\n"


def test_subprocesses_are_instrumented_too(otel_llm, script):
    program = script(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SEES!r}])\n")
    assert otel_llm("run", program).stdout == "seen\n"


def test_a_command_on_the_path_is_instrumented(otel_llm, script, tmp_path):
    tool = script(f"#!{sys.executable}\nimport sys; print(sys.argv[1:])\n{SEES}", "bin/my-tool")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
    assert otel_llm("run", "my-tool", "--store", "x", PATH=path).stdout == "['--store', 'x']\nseen\n"
    assert otel_llm("run", "bin/my-tool").stdout == "[]\nseen\n"
    assert otel_llm("run", "--", "my-tool", PATH=path).returncode == 0


def test_a_shell_keeps_its_exit_code_and_its_broken_pipes(otel_llm):
    assert otel_llm("run", "sh", "-c", "exit 9").returncode == 9
    assert otel_llm("run", "sh", "-c", "yes | head -1").stderr == ""


def test_a_sitecustomize_that_was_there_before_is_run(otel_llm, script, tmp_path):
    script("MARK = 1", "site/sitecustomize.py")
    program = script("import sitecustomize; print(sitecustomize.MARK)")
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    assert otel_llm("run", program, PYTHONPATH=path).stdout == "1\n"


def test_options_become_settings_and_the_store_is_pinned_to_where_it_was_asked_for(
    otel_llm, script, tmp_path
):
    program = script(
        "import os; print(*(os.environ.get(f'OTEL_LLM_{n}') for n in ('CONTENT', 'EXPORTERS', 'STORE')))"
    )
    seen = otel_llm("run", "--content", "full", "--exporter=console", "--store", "here", program)
    assert seen.stdout == f"full console {tmp_path / 'here'}\n"
    assert otel_llm("run", program).stdout == f"None None {tmp_path / '.otel_llm'}\n"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--content", "everything", "x.py"], "--content is 'everything'", 2),
        (["--contents", "full", "x.py"], "there is no option --contents", 2),
        (["--store"], "--store needs a value", 2),
        (["no-such-command"], "there is no file and no command 'no-such-command'", 127),
        (["--content", "full"], "what is to be run?", 2),
        (["-m"], "what is to be run?", 2),
    ],
)
def test_a_wrong_command_line_is_one_clear_line(arguments, message, code, otel_llm):
    done = otel_llm("run", *arguments)
    assert (done.stdout, done.returncode) == ("", code)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_bad_variable_is_named_as_a_variable(otel_llm, script):
    done = otel_llm("run", script(""), OTEL_LLM_CONTENT="much")
    assert "OTEL_LLM_CONTENT is 'much'" in done.stderr


def test_signals_reach_the_program_itself(start, script):
    process = start("run", script("import time\nprint('ready', flush=True)\ntime.sleep(60)"))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM


def bootstrapped(tmp_path, monkeypatch, source, pid):
    (tmp_path / "otel_llm.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    environ = environment({}, os.environ, tmp_path, pid)
    if pid:  # the very process that `run` becomes
        done = subprocess.run(
            ["sh", "-c", f'OTEL_LLM_RUN_PID=$$ exec {sys.executable} -c "print(1)"'],
            capture_output=True,
            text=True,
            env=environ,
            check=False,
        )
    else:
        done = subprocess.run(
            [sys.executable, "-c", "print(1)"], capture_output=True, text=True, env=environ, check=False
        )
    assert done.stdout == "1\n"
    return done.stderr


@pytest.mark.parametrize(
    "source", ["raise ImportError('broken')", "def instrument(): raise RuntimeError('broken')"]
)
def test_where_we_fail_the_program_runs_and_the_first_process_says_why(tmp_path, monkeypatch, source):
    stderr = bootstrapped(tmp_path, monkeypatch, source, pid=1)
    assert stderr == f"otel_llm: {sys.executable} is not instrumented: broken\n"


def test_a_subprocess_of_a_python_without_otel_llm_says_nothing(tmp_path, monkeypatch):
    assert bootstrapped(tmp_path, monkeypatch, "raise ImportError('not here')", pid=0) == ""


def test_options_end_where_the_program_begins():
    plan = parse(["--exporter", "otlp", "--exporter", "console", "train.py", "--store", "x"])
    assert plan.command == ("train.py", "--store", "x")
    assert plan.settings == {"OTEL_LLM_EXPORTERS": "otlp,console"}
    assert parse(["--", "-odd-name", "x"]).command == ("-odd-name", "x")


def test_running_twice_adds_the_bootstrap_once(tmp_path):
    once = environment({}, {"PYTHONPATH": "a"}, tmp_path, 1)
    assert (
        environment({}, once, tmp_path, 1)["PYTHONPATH"] == once["PYTHONPATH"] == f"{BOOTSTRAP}{os.pathsep}a"
    )


def test_files_are_found_before_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sh").write_text("")
    assert resolve(["sh"])[0] == sys.executable
    with pytest.raises(RunError):
        resolve(["surely-not-a-command"])
