"""Orders that the engine does not take, and messages between powers."""

from __future__ import annotations

from typing import Any

import pytest
from diplomacy import Game, Message

import otel_llm
from otel_llm import drops, testing
from otel_llm import semconv as sc
from otel_llm.testing import Captured
from tests.diplomacy.play import attributes, duel, events


def orders_of(captured: Captured, name: str) -> tuple[Any, Any, Any]:
    told = attributes(captured, name)
    return told.get(sc.ORDERS_VALID_COUNT), told.get(sc.ORDERS_INVALID_COUNT), told.get(sc.ORDERS_INVALID)


@pytest.mark.parametrize(
    "order",
    ["A PAR - LON", "A BER H", "F PAR H", "A PAR", "A PAR S A PAR", "A XYZ H", "A PAR ? BUR"],
)
def test_an_order_that_the_engine_drops_is_told_as_it_was_given(captured: Captured, order: str) -> None:
    game = Game()
    game.set_orders("FRANCE", ["A MAR H", order])
    game.process()
    assert game.order_history.last_value()["FRANCE"] == ["A MAR H"]
    assert orders_of(captured, "phase S1901M") == (1, 1, (f"FRANCE: {order}",))


def test_an_order_that_makes_the_engine_raise_is_told_and_raises(captured: Captured) -> None:
    game = Game()
    with pytest.raises(IndexError):
        game.set_orders("FRANCE", ["A MAR H", "hold everything", "A PAR H"])
    game.process()
    assert orders_of(captured, "phase S1901M") == (1, 1, ("FRANCE: hold everything",))


def test_orders_that_were_given_again_count_once(captured: Captured) -> None:
    game = Game()
    for _ in range(3):
        game.set_orders("FRANCE", ["A PAR - BUR", "A MAR - LON"])
    game.set_orders("france", "A PAR H")
    game.process()
    assert orders_of(captured, "phase S1901M") == (1, 1, ("FRANCE: A MAR - LON",))


def test_orders_of_retreats_and_adjustments_are_judged_too(captured: Captured) -> None:
    game = duel()
    game.set_centers("FRANCE", ["PAR", "MAR", "BRE"])
    game.set_orders("FRANCE", ["A RUH - MUN", "A BUR S A RUH - MUN"])
    game.process()
    game.set_orders("GERMANY", ["A MUN R PAR"])
    game.process()
    game.process()
    game.set_orders("FRANCE", ["A PAR B", "A LON B"])
    game.process()
    assert orders_of(captured, "phase S1901R") == (0, 1, ("GERMANY: A MUN R PAR",))
    assert orders_of(captured, "phase W1901A") == (1, 1, ("FRANCE: A LON B",))


def test_an_interaction_of_the_power_gets_its_orders_and_nothing_counts_twice(captured: Captured) -> None:
    game = Game()
    game.get_state()
    with otel_llm.interaction("order", power="FRANCE"):
        game.set_orders("FRANCE", ["A PAR - BUR", "A MAR - LON"])
        game.set_orders("ITALY", ["A ROM H", "A ROM - LON"])
    game.process()
    game.draw()
    (turn,) = [span for span in captured.shape() if span["name"] == "invoke_agent FRANCE"]
    assert turn["parent"] == "phase S1901M"
    told = turn["attributes"]
    assert told[sc.ORDERS_SUBMITTED] == ("A PAR - BUR", "A MAR - LON")
    assert (told[sc.ORDERS_VALID_COUNT], told[sc.ORDERS_INVALID]) == (1, ("A MAR - LON",))
    assert orders_of(captured, "phase S1901M") == (1, 1, ("ITALY: A ROM - LON",))
    totals = attributes(captured, "phase S1901M")
    assert totals[sc.TOTALS_PREFIX + "valid_orders"] == 1


def test_what_the_program_says_of_its_orders_stands(captured: Captured) -> None:
    game = Game()
    game.get_state()
    with otel_llm.interaction("order", power="FRANCE") as turn:
        turn.set(orders=["all of them"], invalid_orders=["mine"], valid_orders=9)
        game.set_orders("FRANCE", ["A PAR - BUR"])
    game.draw()
    told = attributes(captured, "invoke_agent FRANCE")
    assert (told[sc.ORDERS_SUBMITTED], told[sc.ORDERS_INVALID], told[sc.ORDERS_VALID_COUNT]) == (
        ("all of them",),
        ("mine",),
        9,
    )


def test_the_programs_own_mistakes_reach_it_unchanged(captured: Captured) -> None:
    from diplomacy.utils.exceptions import MapPowerException

    game = Game()
    with pytest.raises(MapPowerException):
        game.set_orders("ATLANTIS", ["A PAR H"])
    with pytest.raises(AttributeError):
        game.set_orders(None, [])
    with pytest.raises(AttributeError):
        game.set_orders("FRANCE", 7)
    with pytest.raises(AssertionError):
        game.set_status("lost")
    game.set_orders("FRANCE", ["A PAR H"])
    game.process()
    assert orders_of(captured, "phase S1901M") == (1, 0, None)
    assert drops.counts() == {}


def say(game: Game, sender: str, recipient: str, text: str) -> None:
    message = Message(phase=game.current_short_phase, sender=sender, recipient=recipient, message=text)
    game.add_message(message)


def test_messages_are_events_of_the_phase_or_of_the_interaction() -> None:
    with testing.capture(metrics=False, content="full") as captured:
        game = Game()
        say(game, "FRANCE", "ITALY", "Peace?")
        with otel_llm.interaction("negotiation", power="ITALY") as turn:
            say(game, "ITALY", "GLOBAL", "No.")
            turn.message("I mean it.", recipients="FRANCE")
            say(game, "ITALY", "FRANCE", "I mean it.")
        game.process()
        assert [len(messages) for messages in game.message_history.values()] == [3]
        assert events(captured, "phase S1901M") == [
            (
                sc.EVENT_MESSAGE,
                {
                    sc.MESSAGE_SENDER: "FRANCE",
                    sc.MESSAGE_RECIPIENTS: ("ITALY",),
                    sc.MESSAGE_PRIVATE: True,
                    sc.MESSAGE_LENGTH: 6,
                    sc.MESSAGE_CONTENT: "Peace?",
                },
            )
        ]
        told = events(captured, "invoke_agent ITALY")
        assert [
            (e[sc.MESSAGE_RECIPIENTS], e[sc.MESSAGE_PRIVATE], e[sc.MESSAGE_CONTENT]) for _, e in told
        ] == [
            ((), False, "No."),
            (("FRANCE",), True, "I mean it."),
        ]


def test_by_default_a_message_is_a_length(captured: Captured) -> None:
    game = Game()
    say(game, "FRANCE", "ITALY", "a secret plan")
    game.process()
    ((_, told),) = events(captured, "phase S1901M")
    assert told[sc.MESSAGE_LENGTH] == 13
    assert sc.MESSAGE_CONTENT not in told
