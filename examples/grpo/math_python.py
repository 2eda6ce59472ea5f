"""GRPO over several turns: sums, computed with a Python tool that knows nothing but arithmetic.

The loop is that of `multiturn_qa.py`; the task is another.
"""

from collections.abc import Sequence

from multiturn_qa import train
from tinygrpo import options
from tinygrpo.tool_tasks import sums


def main(argv: Sequence[str] | None = None) -> None:
    """Train on sums."""
    args = options.parse("math_python", __doc__, argv, steps=100)
    train(args, sums(args.seed, args.max_prompts))


if __name__ == "__main__":
    main()
