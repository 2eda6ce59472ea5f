"""Real Collectors, Prometheus and Jaeger for tests and benchmarks: started, killed, asked; and spans to send them."""

from tests.collector.kept import Kept, archived, attributes_of, kept
from tests.collector.processes import (
    READY,
    Program,
    address,
    environment,
    eventually,
    free_port,
    get,
    get_json,
)
from tests.collector.sent import Span, encoded, post, send, set_attributes
from tests.collector.servers import (
    CONFIG,
    ROOT,
    TOKEN,
    Collector,
    Jaeger,
    agent,
    collector_binary,
    gateway,
    jaeger,
    prometheus,
    query,
)

__all__ = [
    "CONFIG", "READY", "ROOT", "TOKEN", "Collector", "Jaeger", "Kept", "Program", "Span", "address", "agent",
    "archived", "attributes_of", "collector_binary", "encoded", "environment", "eventually", "free_port", "gateway", "get", "get_json",
    "jaeger", "kept", "post", "prometheus", "query", "send", "set_attributes",
]  # fmt: skip
