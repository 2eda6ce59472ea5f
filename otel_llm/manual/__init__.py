"""Interactions that the program tells of itself, where its model calls cannot be seen or need more said of them.

    from otel_llm.manual import log_order_generation

    log_order_generation(game_id="g1", model_name="gpt-4o", power_name="FRANCE", phase="S1901M", prompt=prompt,
                         response=answer, orders=["A PAR H"], success=True, response_time_ms=1250.0)

They become the same spans, metrics and totals as those of scopes (`otel_llm.interaction`), dated back. The functions
are the methods of the process's one `LLMLogger`.
"""

from otel_llm.manual.logger import DEFAULT_PROJECT, LLMLogger, initialize_llm_logging, process_logger

__all__ = [
    "DEFAULT_PROJECT",
    "LLMLogger",
    "initialize_llm_logging",
    "log_bulk_interactions",
    "log_consolidation",
    "log_diary",
    "log_grpo_response",
    "log_grpo_training_response",
    "log_initialization",
    "log_interaction",
    "log_negotiation",
    "log_order_generation",
    "log_planning",
    "log_session_end",
    "log_session_start",
    "log_state_update",
]

log_bulk_interactions = process_logger.log_bulk_interactions
log_consolidation = process_logger.log_consolidation
log_diary = process_logger.log_diary
log_grpo_response = process_logger.log_grpo_response
log_grpo_training_response = process_logger.log_grpo_training_response
log_initialization = process_logger.log_initialization
log_interaction = process_logger.log_interaction
log_negotiation = process_logger.log_negotiation
log_order_generation = process_logger.log_order_generation
log_planning = process_logger.log_planning
log_session_end = process_logger.log_session_end
log_session_start = process_logger.log_session_start
log_state_update = process_logger.log_state_update
