"""`python -m otel_llm.cli` is `otel-llm`."""

import sys

from otel_llm.cli import main

sys.exit(main())
