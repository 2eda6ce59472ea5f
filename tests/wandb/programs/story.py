"""A game whose turns call a model on loopback, and a scripted training run."""

from __future__ import annotations

import httpx

import otel_llm
from otel_llm.step_series import record

POWERS = {"FRANCE": "gpt-5-mini", "ITALY": "gpt-5"}


def ask(url: str, model: str, prompt: str) -> None:
    with httpx.Client(timeout=10) as client:
        client.post(
            f"{url}/v1/chat/completions",
            json={"model": model, "messages": [{"role": "user", "content": prompt}]},
            headers={"authorization": "Bearer none"},
        )


def play(games: int, *, url: str, first: int = 0) -> None:
    for number in range(first, first + games):
        with otel_llm.game(
            f"game-{number}", name="diplomacy", players=POWERS, training=True, episode=number
        ) as game:
            for phase in ("S1901M", "F1901M"):
                with otel_llm.phase(phase, centers=dict.fromkeys(POWERS, 3)):
                    for power, model in POWERS.items():
                        with otel_llm.interaction(
                            "order", power=power, model=model, units=3, centers=3
                        ) as turn:
                            ask(url, model, f"Orders for {power} in {phase}?")
                            turn.set(orders=["A PAR - BUR"], success=power == "FRANCE", reward=0.5)
                        with otel_llm.interaction("negotiation", power=power, model=model) as turn:
                            turn.message("Tunis is yours.", recipients="FRANCE")
            game.set(status="completed", outcome="draw")


def train(steps: int, *, first: int = 0) -> None:
    for step in range(first, first + steps):
        record([("training/loss", 1 / (step + 1), step), ("training/kl", step / 10, step)], source="story")
    record([("rollouts/returns_mean", float(first), first)], source="story")


def rollouts(count: int, *, step: int = 1) -> None:
    with otel_llm.step(step):
        for number in range(count):
            with otel_llm.rollout(f"sample-{number}", group="g"):
                pass
