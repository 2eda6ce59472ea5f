"""`python examples/diplomacy_selfplay`: language models play Diplomacy; `--help` says how."""

import sys

try:
    from selfplay.cli import main
except ImportError as error:
    sys.exit(f"{error}. This example needs more than otel_llm: pip install '.[games]'")

sys.exit(main())
