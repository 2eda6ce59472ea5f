"""The report: games, or any calls in the store, as one HTML file that opens without a network.

    from otel_llm.report import write_report
    from otel_llm.store import StoreReader
    write_report(StoreReader(".otel_llm"), "report.html", game_id="7")

What is counted is counted by `otel_llm.analysis`; here it becomes a document (`document`), its texts become packed
chunks that the page opens when somebody reads them (`details`), and both become a page (`page`) together with the
scripts, styles and charting library under `assets`.
"""

from otel_llm.report.writing import NothingToReportError, Report, write_games, write_report

__all__ = ["NothingToReportError", "Report", "write_games", "write_report"]
