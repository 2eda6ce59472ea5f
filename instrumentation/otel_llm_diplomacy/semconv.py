"""Names of telemetry that only Diplomacy needs; the rest are the core's (`otel_llm.semconv`)."""

from typing import Final

GAME_MAP: Final = "game.map"
GAME_RULES: Final = "game.rules"

EVENT_UNIT_DISLODGED: Final = "game.unit.dislodged"
EVENT_UNIT_RETREATED: Final = "game.unit.retreated"
EVENT_UNIT_DISBANDED: Final = "game.unit.disbanded"
EVENT_UNIT_BUILT: Final = "game.unit.built"
EVENT_POWER_ELIMINATED: Final = "game.power.eliminated"
EVENT_POSITION_SET: Final = "game.position.set"  # the program put the pieces somewhere else

UNIT_NAME: Final = "game.unit.name"  # `A PAR`
UNIT_MAY_RETREAT_TO: Final = "game.unit.may_retreat_to"
UNIT_DESTINATION: Final = "game.unit.destination"
