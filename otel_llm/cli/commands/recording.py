"""Commands that fill the store: `demo`, `run`, `receive`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from otel_llm.cli.commands.options import Store
from otel_llm.cli.errors import command


@command
def demo(
    store: Store = None,
    content: Annotated[
        str, typer.Option("--content", metavar="POLICY", help="none, length, preview or full.")
    ] = "full",
) -> int:
    """Watch an agent call three models, with no key and no network.

    The real openai, anthropic and google SDKs call a server on loopback: answers, streams, tools, a rate
    limit with its retry, a failure, an embedding. Then the trace, as `otel-llm show` prints it.

    \b
    Examples:
      otel-llm demo
      otel-llm demo && otel-llm show --full
    """  # noqa: D301 (\b keeps the lines as they are)
    from otel_llm.cli.demo import demo as run_demo

    return run_demo(store, content)


def run(
    context: typer.Context,
    content: Annotated[
        str | None,
        typer.Option(
            "--content", metavar="POLICY", help="What is kept of prompts: none, length, preview, full."
        ),
    ] = None,
    store_content: Annotated[
        str | None,
        typer.Option("--store-content", metavar="POLICY", help="The same for the local store alone."),
    ] = None,
    exporter: Annotated[
        list[str] | None,
        typer.Option("--exporter", metavar="NAME", help="An exporter, such as otlp or console; repeatable."),
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="DIR", help="The store's directory, or off.")
    ] = None,
    module: Annotated[
        str | None, typer.Option("-m", metavar="MODULE", help="Run a module, as python -m does.")
    ] = None,
) -> None:
    """Run an unedited program and see its LLM calls, those of its subprocesses included.

    The program runs as it would under `python`: same arguments, streams, signals and exit code. Options
    come before it. Python processes that ignore PYTHONPATH (python -I, -E, -S) are not seen.

    \b
    Examples:
      otel-llm run script.py --its-own option
      otel-llm run --content full -m package.module
      otel-llm run --exporter otlp pytest tests
      otel-llm run torchrun --nproc-per-node 8 train.py
    """  # noqa: D301 (\b keeps the lines as they are)
    # Only `--help` and tests come here: `otel_llm.cli.main` takes `run` before typer is imported.
    from otel_llm.cli.run import run as run_program

    arguments: list[str] = []
    for option, value in (("--content", content), ("--store-content", store_content), ("--store", store)):
        if value is not None:
            arguments += [option, str(value)]
    for name in exporter or ():
        arguments += ["--exporter", name]
    arguments += ["-m", module] if module is not None else ["--"]
    raise typer.Exit(run_program([*arguments, *context.args]))


@command
def receive(
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDRESS", help="Where to listen; beyond this machine with a token."),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port", min=0, max=65535, metavar="N", show_default=False, help="Of HTTP; 0: any.  [4318]"
        ),
    ] = 4318,
    grpc_port: Annotated[
        int,
        typer.Option(
            "--grpc-port", min=0, max=65535, metavar="N", show_default=False, help="Of gRPC; 0: any.  [4317]"
        ),
    ] = 4317,
    no_grpc: Annotated[bool, typer.Option("--no-grpc", help="HTTP alone.")] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", metavar="FILE", help="The token that senders must have.  [OTEL_LLM_RECEIVE_TOKEN]"
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate chain (PEM), for TLS.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key (PEM).")
    ] = None,
    max_body: Annotated[
        float,
        typer.Option(
            "--max-body",
            min=0.001,
            metavar="MB",
            show_default=False,
            help="Largest request, uncompressed.  [64]",
        ),
    ] = 64,
    max_queue: Annotated[
        float,
        typer.Option(
            "--max-queue",
            min=0.001,
            metavar="MB",
            show_default=False,
            help="All requests at a time; more are told to wait.  [128]",
        ),
    ] = 128,
    store: Store = None,
) -> int:
    """Receive OTLP from other processes and machines into the store, for show, tail, report and replay.

    HTTP (protobuf and JSON) and gRPC: spans, metrics, logs and the step series of training. A request is
    answered when what it brought is committed. Secrets are scrubbed; prompts are stored as they come.
    Ctrl-C or SIGTERM ends it, after the requests that have begun.

    \b
    Examples:
      otel-llm receive --store runs/grpo-7
      otel-llm receive --host 0.0.0.0 --token-file token --tls-cert cert.pem --tls-key key.pem
      otel-llm replay runs/grpo-7 --to wandb --follow
    On the senders:
      export OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318
      export OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20TOKEN"
    """  # noqa: D301 (\b keeps the lines as they are)
    from otel_llm.cli.receive import receive as run_receiver

    return run_receiver(
        host=host,
        port=port,
        grpc_port=None if no_grpc else grpc_port,
        token_file=token_file,
        tls_cert=tls_cert,
        tls_key=tls_key,
        max_body_mb=max_body,
        max_queue_mb=max_queue,
        store=store,
    )
