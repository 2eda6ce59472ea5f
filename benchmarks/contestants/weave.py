"""weave's patch of openai: with the null sink before a trace server that does nothing, else its real HTTP client."""

import os
from typing import Any

from benchmarks import sinks

VENV = "weave"
SLOW = ["embed"]
_KEY = "a" * 40


class _Anything:
    def __getattr__(self, name: str) -> str:
        return "x"


def _null_server() -> Any:
    from weave.trace_server_bindings.client_interface import TraceServerClientInterface

    class Server:
        def __getattr__(self, name: str) -> Any:
            if not hasattr(TraceServerClientInterface, name):
                raise AttributeError(name)

            def call(request: Any = None, *_: Any, **__: Any) -> _Anything:
                if name in {"call_end", "calls_complete"}:
                    sinks.bump()
                if sinks.MODE == "memory":
                    sinks.records.append({"rpc": name, "request": repr(request)})
                return _Anything()

            return call

    return Server()


def setup() -> None:
    os.environ.update(
        WANDB_API_KEY=_KEY,
        WEAVE_PRINT_CALL_LINK="false",
        WEAVE_SENTRY_ENV="off",
        WANDB_ERROR_REPORTING="false",
        DO_NOT_TRACK="1",
        WANDB_SILENT="true",
        WF_TRACE_SERVER_URL=sinks.URL,
        WANDB_BASE_URL=sinks.URL,
    )
    import weave  # noqa: F401
    from weave.integrations.patch import patch_openai
    from weave.trace import weave_client, weave_init
    from weave.trace.context import weave_client_context

    if sinks.MODE == "otlp":
        from weave.wandb_interface.auth import ApiKeyCredentials

        server = weave_init.init_weave_get_server(ApiKeyCredentials(_KEY))
    else:
        server = _null_server()
    client = weave_client.WeaveClient("bench", "bench", server, False)
    weave_client_context.set_weave_client_global(client)
    patch_openai()
    sinks.on_flush(client.flush)
