"""Writes dashboards/*.json: Grafana's dashboards, of the panels in `dashboard_panels`.

pip install 'grafana-foundation-sdk==1769699379!11.6.0'
python collector-config/generate_dashboards.py            # --check: fail if what is there is not what would be made
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dashboard_panels import PANELS
from dashboard_queries import Panel, series
from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, StackingMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

from otel_llm import semconv as sc

FOLDER: Final = Path(__file__).parent / "dashboards"
_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="otel-llm-prometheus")


def made(title: str, uid: str, panels: tuple[Panel, ...]) -> dashboard.Dashboard:
    """Build one dashboard: two panels a row, the services to choose from above them."""
    board = (
        dashboard.Dashboard(title)
        .uid(f"otel-llm-{uid}")
        .tags(["otel_llm"])
        .editable()
        .timezone("browser")
        .refresh("10s")
        .time("now-1h", "now")
        .with_variable(
            dashboard.QueryVariable("service")
            .label("Service")
            .datasource(_SOURCE)
            .query(f"label_values({series(sc.METRIC_QUEUE_BYTES, sc.UNIT_BYTES)}, job)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .all_value(".*")
            .multi(True)
        )
    )
    for panel in panels:
        board.with_panel(_graph(panel))
    return board


def _graph(panel: Panel) -> timeseries.Panel:
    graph = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .span(12)
        .height(8)
        .fill_opacity(40 if panel.stacked else 8)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.RIGHT)
            .calcs(["lastNotNull", "max"])
        )
    )
    if panel.stacked:
        graph = graph.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for ref, query in zip("ABCDEFGH", panel.queries, strict=False):
        graph = graph.with_target(
            prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(ref).range()
        )
    return graph


def files() -> Iterator[tuple[Path, str]]:
    """Return each file and what belongs into it."""
    for uid, (title, panels) in PANELS.items():
        encoded = JSONEncoder(sort_keys=True, indent=2).encode(made(title, uid, panels).build())
        yield FOLDER / f"{uid}.json", encoded + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing, fail if a file is not what it should be"
    )
    check = parser.parse_args(arguments).check
    stale = [path for path, text in files() if not path.exists() or path.read_text() != text]
    if not check:
        FOLDER.mkdir(exist_ok=True)
        for path, text in files():
            path.write_text(text)
    for path in stale:
        print(path.name, "is not what the names of today make" if check else "written")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
