"""`python -m otel_llm.loopback [PORT]`: serve until interrupted, and say where."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading

from otel_llm.loopback import LoopbackServer


def main() -> None:
    """Prints the address as the first line and serves."""
    parser = argparse.ArgumentParser(prog="python -m otel_llm.loopback", description=main.__doc__)
    parser.add_argument("port", nargs="?", type=int, default=0, help="0 (the default) takes a free one")
    with LoopbackServer(port=parser.parse_args().port) as server, contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main()
