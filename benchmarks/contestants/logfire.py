"""logfire.instrument_openai, nothing sent to logfire, console off, our processor added."""

from benchmarks import sinks

VENV = "logfire"


def setup() -> None:
    import logfire

    logfire.configure(
        send_to_logfire=False,
        console=False,
        additional_span_processors=[sinks.processor()],
        metrics=False,
        inspect_arguments=False,
    )
    logfire.instrument_openai()
