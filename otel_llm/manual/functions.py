"""A function for each type of interaction; what they have in common is said once, at `InteractionLog`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any


class InteractionLog(ABC):
    """Logs single interactions.

    Every method takes any value for any argument, `None` included, numbers as text, and `success` as a bool or as
    a text such as `Failure: Invalid LLM Moves (2): …`. None raises; what cannot be used is left out of the record,
    named in it, and warned of once. Arguments that several methods share:

        game_id: the game; any text. A game that no `log_session_start` announced begins with its first record.
            Default: the game that is current (`with otel_llm.game(...)`), else none.
        model_name: the model that was asked.
        power_name: who asked it.
        phase: `S1901M`, `SPRING 1901 MOVEMENT`, `grpo_e3_s12` …; default: the current phase, else none.
        prompt: what was asked: text, or messages as SDKs take them. Lengths are kept; the text only as the content
            policy says.
        response: what was answered.
        success: whether it went well; text is kept as the interaction's outcome.
        response_time_ms: how long the answer took, in milliseconds; the record is dated back by it.
        **more: `timestamp` (when it ended, seconds since the epoch; default: now), `tokens` (by kind, such as
            `{"input": 900, "output": 80}`, or an SDK's usage object), `cost` (US dollars), `provider`, `error` (an
            exception or text), `error_type`, `supply_centers`, `units`, `active_powers`, `relationships`, `goals`,
            `diary`, `model_parameters`, `invalid_orders`, `episode`, `step`, `reward`, `batch_size`; anything else
            is kept as the program's own.

    Each returns the interaction's id: 16 hex digits, those of its span; None where nothing is recorded.
    """

    @abstractmethod
    def log(self, kind: str, told: Mapping[str, Any]) -> str | None:
        """Record an interaction.

        Args:
            kind: its type, where `told` has no `interaction_type`.
            told: its fields; None is as good as not given.
        """

    def log_order_generation(
        self,
        game_id: Any = None,
        model_name: Any = None,
        power_name: Any = None,
        phase: Any = None,
        prompt: Any = None,
        response: Any = None,
        orders: Any = None,
        success: Any = None,
        response_time_ms: Any = None,
        supply_centers: Any = None,
        units: Any = None,
        **more: Any,
    ) -> str | None:
        """Log that a power was asked for its orders. See the class for the other arguments.

        Args:
            game_id: the game.
            model_name: the model.
            power_name: the power.
            phase: the phase.
            prompt: what was asked.
            response: what was answered.
            orders: the orders it gave, as texts.
            success: whether they were valid.
            response_time_ms: milliseconds that the answer took.
            supply_centers: how many the power has; of a list its length.
            units: likewise.
            **more: see the class.
        """
        told = _told(game_id, model_name, power_name, phase, prompt, response, success, response_time_ms)
        told |= {"orders": orders, "supply_centers": supply_centers, "units": units}
        return self.log("order", more | told)

    def log_negotiation(
        self,
        game_id: Any = None,
        model_name: Any = None,
        power_name: Any = None,
        phase: Any = None,
        prompt: Any = None,
        response: Any = None,
        messages: Any = None,
        success: Any = None,
        response_time_ms: Any = None,
        **more: Any,
    ) -> str | None:
        """Log that a power was asked for messages. See the class for the other arguments.

        Args:
            game_id: the game.
            model_name: the model.
            power_name: the power.
            phase: the phase.
            prompt: what was asked.
            response: what was answered.
            messages: what it sent: mappings with `content` (or `message`) and `recipient` (or `recipients`; `ALL`
                and `GLOBAL` are everybody), and maybe `sender` and `private` (or `message_type`); or objects with
                such attributes; or texts, which are public. Each is an event; its text as the content policy says.
            success: whether it went well.
            response_time_ms: milliseconds that the answer took.
            **more: see the class.
        """
        told = _told(game_id, model_name, power_name, phase, prompt, response, success, response_time_ms)
        return self.log("negotiation", more | told | {"messages": messages})

    def log_planning(
        self,
        game_id: Any = None,
        model_name: Any = None,
        power_name: Any = None,
        phase: Any = None,
        prompt: Any = None,
        response: Any = None,
        plan: Any = None,
        success: Any = None,
        response_time_ms: Any = None,
        **more: Any,
    ) -> str | None:
        """Log that a power was asked for a plan.

        Args:
            game_id: the game.
            model_name: the model.
            power_name: the power.
            phase: the phase.
            prompt: what was asked.
            response: what was answered.
            plan: the plan, as text or structure; kept as the content policy says.
            success: whether it went well.
            response_time_ms: milliseconds that the answer took.
            **more: see the class.
        """
        told = _told(game_id, model_name, power_name, phase, prompt, response, success, response_time_ms)
        return self.log("plan", more | told | {"parsed": plan})

    def log_diary(
        self,
        game_id: Any = None,
        model_name: Any = None,
        power_name: Any = None,
        phase: Any = None,
        prompt: Any = None,
        response: Any = None,
        diary: Any = None,
        success: Any = None,
        response_time_ms: Any = None,
        diary_type: Any = None,
        **more: Any,
    ) -> str | None:
        """Log that a power was asked for a diary entry.

        Args:
            game_id: the game.
            model_name: the model.
            power_name: the power.
            phase: the phase.
            prompt: what was asked.
            response: what was answered.
            diary: the entry; kept as the content policy says.
            success: whether it went well.
            response_time_ms: milliseconds that the answer took.
            diary_type: `negotiation_diary`, `order_diary`, `phase_result_diary`; default: `diary`.
            **more: see the class.
        """
        told = _told(game_id, model_name, power_name, phase, prompt, response, success, response_time_ms)
        return self.log("diary", more | told | {"diary": diary, "interaction_type": diary_type})

    def log_initialization(
        self,
        game_id: Any = None,
        model_name: Any = None,
        power_name: Any = None,
        phase: Any = None,
        prompt: Any = None,
        response: Any = None,
        success: Any = None,
        response_time_ms: Any = None,
        **more: Any,
    ) -> str | None:
        """Log that a power was asked for its first goals and relationships. See the class for the arguments."""
        told = _told(game_id, model_name, power_name, phase, prompt, response, success, response_time_ms)
        return self.log("initialization", more | told)

    def log_state_update(
        self,
        game_id: Any = None,
        model_name: Any = None,
        power_name: Any = None,
        phase: Any = None,
        prompt: Any = None,
        response: Any = None,
        success: Any = None,
        response_time_ms: Any = None,
        **more: Any,
    ) -> str | None:
        """Log that a power was asked to revise goals and relationships. See the class for the arguments."""
        told = _told(game_id, model_name, power_name, phase, prompt, response, success, response_time_ms)
        return self.log("state_update", more | told)

    def log_consolidation(
        self,
        game_id: Any = None,
        model_name: Any = None,
        power_name: Any = None,
        phase: Any = None,
        prompt: Any = None,
        response: Any = None,
        success: Any = None,
        response_time_ms: Any = None,
        **more: Any,
    ) -> str | None:
        """Log that a power was asked to shorten its diary. See the class for the arguments."""
        told = _told(game_id, model_name, power_name, phase, prompt, response, success, response_time_ms)
        return self.log("diary_consolidation", more | told)

    def log_grpo_response(
        self,
        game_id: Any = None,
        model_name: Any = None,
        power_name: Any = None,
        phase: Any = None,
        prompt: Any = None,
        response: Any = None,
        success: Any = None,
        response_time_ms: Any = None,
        episode: Any = None,
        step: Any = None,
        reward: Any = None,
        batch_size: Any = None,
        **more: Any,
    ) -> str | None:
        """Log a completion that is trained on. See the class for the other arguments.

        Args:
            game_id: the game.
            model_name: the model.
            power_name: the power.
            phase: the phase.
            prompt: what was asked.
            response: what was answered.
            success: whether it went well.
            response_time_ms: milliseconds that the answer took; where `batch_size` is more than 1, those that the
                whole batch took. They are kept as the batch's time then, and the interaction has no response time
                of its own: nobody measured it.
            episode: number of the training episode.
            step: number of the training step.
            reward: the completion's reward.
            batch_size: how many completions were generated together.
            **more: see the class; with `batch_time_ms`, `response_time_ms` is the answer's own.
        """
        told = _told(game_id, model_name, power_name, phase, prompt, response, success, response_time_ms)
        told |= {
            "episode": episode,
            "step": step,
            "reward": reward,
            "batch_size": batch_size,
            "training": True,
        }
        return self.log("training", more | told)

    log_grpo_training_response = log_grpo_response

    def log_interaction(
        self,
        interaction_type: Any = None,
        game_id: Any = None,
        model_name: Any = None,
        power_name: Any = None,
        phase: Any = None,
        prompt: Any = None,
        response: Any = None,
        success: Any = None,
        response_time_ms: Any = None,
        **more: Any,
    ) -> str | None:
        """Log an interaction of any type. See the class for the other arguments.

        Args:
            interaction_type: what was done, in any words; default: `interaction`.
            game_id: the game.
            model_name: the model.
            power_name: the power.
            phase: the phase.
            prompt: what was asked.
            response: what was answered.
            success: whether it went well.
            response_time_ms: milliseconds that the answer took.
            **more: see the class.
        """
        told = _told(game_id, model_name, power_name, phase, prompt, response, success, response_time_ms)
        return self.log("interaction", more | told | {"interaction_type": interaction_type})


def _told(
    game_id: Any,
    model_name: Any,
    power_name: Any,
    phase: Any,
    prompt: Any,
    response: Any,
    success: Any,
    response_time_ms: Any,
) -> dict[str, Any]:
    return {
        "game_id": game_id,
        "model_name": model_name,
        "power_name": power_name,
        "phase": phase,
        "prompt": prompt,
        "response": response,
        "success": success,
        "response_time_ms": response_time_ms,
    }
