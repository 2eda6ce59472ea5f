"""The report on a training run as one HTML file: reward, numbers, time over ranks, rollouts and who learned from them.

    from otel_llm.report.training import write_run
    from otel_llm.store import StoreReader
    write_run(StoreReader(".otel_llm"), "sums-7", "report.html")

The store is read twice: once for the numbers of all rollouts (`gathering`), then for what was said in those that there
is room for (`details`), the best, worst and most surprising of every step first (`choosing`). `document` makes the
page's document of it. Runs of a thousand steps with 64 rollouts each are what it is made for.
"""

from otel_llm.report.training.writing import RunReport, write_run

__all__ = ["RunReport", "write_run"]
