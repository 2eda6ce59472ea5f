"""`otel-llm receive`: an OTLP endpoint that writes what other machines send to a local store.

    HTTP (`http`) ──┐                       one thread (`writing`)
                    ├─► budget of bytes ─►  decompress · decode · scrub · commit ─► answer
    gRPC (`rpc`)  ──┘      (`pressure`)

A request is answered when what it brought is committed, and not before; what cannot be taken is refused in a way that
makes senders come again. Nothing here is imported by a program that is instrumented.
"""

from __future__ import annotations

__all__: list[str] = []
