"""langfuse's drop-in `langfuse.openai`, with our exporter behind its own span processor."""

import os
from typing import Any

from benchmarks import sinks

VENV = "langfuse"
OPENAI: Any = None


def setup() -> None:
    global OPENAI
    os.environ.update(
        LANGFUSE_PUBLIC_KEY="pk-bench",
        LANGFUSE_SECRET_KEY="sk-bench",
        LANGFUSE_BASE_URL="http://127.0.0.1:9",
        LANGFUSE_MEDIA_UPLOAD_ENABLED="False",
    )
    import langfuse
    import langfuse.openai

    client = langfuse.Langfuse(span_exporter=sinks.exporter())
    sinks.on_flush(client._resources.tracer_provider.force_flush)
    OPENAI = langfuse.openai
