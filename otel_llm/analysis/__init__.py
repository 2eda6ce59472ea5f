"""Games read back from the store, and questions about them: what `show`, the report and notebooks are made of.

    from otel_llm.analysis import latency, answers, load_games
    from otel_llm.store import StoreReader
    games = load_games(StoreReader(".otel_llm"))
    for row in latency(answers(games), by=("model", "type")):
        print(row.key, row.seconds.p50, row.seconds.p99)

`records` and `totals` say what is known of a game, `loading` reads it, `queries`, `comparisons` and `trouble` ask,
`figures` defines percentiles and correlations. Reads only; imports no terminal, no SDK and no charting library.
"""

from otel_llm.analysis.comparisons import (
    EpisodeRow,
    ModelRow,
    RewardCorrelation,
    episode_progression,
    model_comparison,
    reward_correlations,
)
from otel_llm.analysis.figures import Correlation, Distribution, percentile
from otel_llm.analysis.loading import load_games
from otel_llm.analysis.queries import (
    EVERYBODY,
    Correspondence,
    Holding,
    Latency,
    PhasePattern,
    Spending,
    Success,
    answers,
    correspondence,
    holdings,
    latency,
    patterns,
    slowest,
    spending,
    success,
)
from otel_llm.analysis.records import (
    OUTSIDE,
    CallRecord,
    GameRecord,
    InteractionRecord,
    Message,
    PhaseRecord,
)
from otel_llm.analysis.totals import Totals
from otel_llm.analysis.trouble import (
    Oddity,
    Refusals,
    Repetition,
    failures,
    oddities,
    refusals,
    repetitions,
    swallowed,
    with_invalid_orders,
)

__all__ = [
    "EVERYBODY",
    "OUTSIDE",
    "CallRecord",
    "Correlation",
    "Correspondence",
    "Distribution",
    "EpisodeRow",
    "GameRecord",
    "Holding",
    "InteractionRecord",
    "Latency",
    "Message",
    "ModelRow",
    "Oddity",
    "PhasePattern",
    "PhaseRecord",
    "Refusals",
    "Repetition",
    "RewardCorrelation",
    "Spending",
    "Success",
    "Totals",
    "answers",
    "correspondence",
    "episode_progression",
    "failures",
    "holdings",
    "latency",
    "load_games",
    "model_comparison",
    "oddities",
    "patterns",
    "percentile",
    "refusals",
    "repetitions",
    "reward_correlations",
    "slowest",
    "spending",
    "success",
    "swallowed",
    "with_invalid_orders",
]
