"""The wrappers around vLLM's methods. Whatever fails in ours is counted, and vLLM's own goes on.

A call that is inside another model call's span (`LLM.chat` called `LLM.generate` in older releases; a program or
another instrumentation may have a span of its own) is not told of twice.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final
from weakref import WeakValueDictionary

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api

from otel_llm import drops, recording
from otel_llm import semconv as sc
from otel_llm.providers import attributes_of, suppressed
from otel_llm_vllm import joining, settings
from otel_llm_vllm._seams import Seam
from otel_llm_vllm.generation import CHAT, COMPLETION, Endpoint, Generation, begin
from otel_llm_vllm.reading import asked_of, model_of

Method = Callable[..., Any]

_RECORD: Final = context_api.create_key("otel_llm-vllm")
_COVERED: Final = sc.INFERENCE_OPERATIONS | {sc.EMBEDDINGS}
_HEADERS: Final = "trace_headers"
_streams: Final[WeakValueDictionary[str, Generation]] = WeakValueDictionary()
"""The streams that run, by the ids of their requests."""


# --- LLM ------------------------------------------------------------------------------------------


def _constructor(original: Method) -> Method:
    """Wrap `LLM.__init__`, see `VLLMSettings.stats`."""

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 (the name that tracebacks show)
        try:
            kwargs = _with_stats(kwargs)
        except Exception:
            drops.internal_error("looking at vLLM's arguments")
        original(self, *args, **kwargs)

    return __init__


def _with_stats(kwargs: dict[str, Any]) -> dict[str, Any]:
    wanted = settings.current.stats
    if recording.active is None or "disable_log_stats" in kwargs or wanted == "off":
        return kwargs
    if wanted == "auto":
        if kwargs.get("otlp_traces_endpoint") is None:
            return kwargs
        drops.warn_once(
            "vllm:stats",
            "LLM(otlp_traces_endpoint=...) fails at the first request unless disable_log_stats=False is set too "
            "(vllm#25352), so it is set; set it yourself, or OTEL_LLM_VLLM_STATS=off, and it is left alone",
        )
    return {**kwargs, "disable_log_stats": False}


def _batch(original: Method, endpoint: Endpoint) -> Method:
    """Wrap `LLM.generate` or `LLM.chat`."""

    @functools.wraps(original)
    def generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = _begin_batch(self, endpoint, args, kwargs)
        if call is None:
            return original(self, *args, **kwargs)
        token = _attach(call)
        try:
            outputs = original(self, *args, **kwargs)
        except BaseException as error:
            _failed(call, error)
            raise
        finally:
            if token is not None:
                context_api.detach(token)
        try:
            call.returned(outputs)
        except Exception:
            drops.internal_error("the end of a generation")
        return outputs

    return generate


def _begin_batch(
    llm: Any, endpoint: Endpoint, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Generation | None:
    recorder = recording.active
    if recorder is None:
        return None
    try:
        if _covered() or not _speaks(llm):
            return None
        call = begin(recorder, endpoint, model_of(llm))
    except Exception:
        drops.internal_error("starting a generation")
        return None
    try:
        if call is not None:
            call.asked = asked_of(_argument(args, kwargs, 1, "sampling_params"))
            if endpoint is CHAT:
                call.said(_argument(args, kwargs, 0, "messages"))
    except Exception:
        drops.internal_error("reading what is asked of vLLM")
    return call


def _argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], at: int, name: str) -> Any:
    return args[at] if len(args) > at else kwargs.get(name)


def _attach(call: Generation) -> Any:
    """Make the call current: what vLLM does in this thread belongs to it."""
    try:
        context = trace_api.set_span_in_context(call.span)
        return context_api.attach(context_api.set_value(_RECORD, call, context))
    except Exception:
        drops.internal_error("entering a generation")
        return None


def _failed(call: Generation, error: BaseException) -> None:
    try:
        call.failed(error)
    except Exception:
        drops.internal_error("the failure of a generation")


def _finished(original: Method) -> Method:
    """Wrap `OutputProcessor._update_stats_from_finished`: only here vLLM tells what one of several samples took.

    Once a sample. `LLM.generate` runs the engine in its own thread; `AsyncLLM` has a task that serves all streams,
    whose context is of whoever made it.
    """

    @functools.wraps(original)
    def update(self: Any, req_state: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            parent, stats = req_state.parent_req, req_state.stats
            if parent is not None and stats is not None:
                name = parent.external_req_id
                call = context_api.get_value(_RECORD) or _streams.get(name)
                if isinstance(call, Generation):
                    call.stats[name, req_state.request_index] = stats
        except Exception:
            drops.internal_error("noting a sample")
        return original(self, req_state, *args, **kwargs)

    return update


# --- AsyncLLM -------------------------------------------------------------------------------------


def _stream(original: Method) -> Method:
    """Wrap `AsyncLLM.generate`: the same generator, from its first step to its exhaustion, failure or close."""

    @functools.wraps(original)
    async def generate(self: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call, kwargs = _begin_stream(self, args, kwargs)
        outputs = original(self, *args, **kwargs)
        try:
            async for output in outputs:
                if call is not None:
                    _saw(call, output)
                yield output
        except GeneratorExit:  # the program has had enough; whether that is a failure the outputs tell
            _ended(call)
            raise
        except BaseException as error:
            if call is not None:
                _failed(call, error)
            raise
        else:
            _ended(call)
        finally:
            await outputs.aclose()  # now, so that vLLM lets go of the request, and not when it is collected

    return generate


def _begin_stream(
    engine: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Generation | None, dict[str, Any]]:
    """Start a call; return it, and what the generator gets: with headers where nobody has set some."""
    recorder = recording.active
    if recorder is None:
        return None, kwargs
    try:
        if _covered():
            return None, kwargs
        call = _begin_below(recorder, engine, kwargs.get(_HEADERS))
        if call is None:
            return None, kwargs
        params = _argument(args, kwargs, 1, "sampling_params")
        kind = getattr(getattr(params, "output_kind", None), "name", "")
        call.stream(delta=kind == "DELTA", final_only=kind == "FINAL_ONLY")
    except Exception:
        drops.internal_error("starting a generation")
        return None, kwargs
    try:
        call.asked = asked_of(params)
        _streams[str(_argument(args, kwargs, 2, "request_id"))] = call
        if joining.makes_spans(engine):
            joining.warn_of_crash(engine)
            if not kwargs.get(_HEADERS) and (headers := joining.headers_of(call.span)):
                kwargs = {**kwargs, _HEADERS: headers}
    except Exception:
        drops.internal_error("reading what is asked of vLLM")
    return call, kwargs


def _begin_below(recorder: recording.Recorder, engine: Any, headers: Any) -> Generation | None:
    """Start a call below the current span; where there is none, below what the request's headers bring."""
    context = None
    if not trace_api.get_current_span().get_span_context().is_valid and isinstance(headers, Mapping):
        context = joining.context_of(headers)
    if context is None:
        return begin(recorder, COMPLETION, model_of(engine))
    token = context_api.attach(context)
    try:
        return begin(recorder, COMPLETION, model_of(engine))
    finally:
        context_api.detach(token)


def _saw(call: Generation, output: Any) -> None:
    try:
        call.saw(output)
    except Exception:
        drops.internal_error("noting an output")


def _ended(call: Generation | None) -> None:
    try:
        if call is not None:
            call.end()
    except Exception:
        drops.internal_error("the end of a generation")


# --- both engines: headers of requests ------------------------------------------------------------


def _adding(original: Method) -> Method:
    """Wrap `add_request` of an engine, sync or async: its requests continue the current trace.

    Raises:
        TypeError: it takes no `trace_headers`.
    """
    names = list(inspect.signature(original).parameters)
    if _HEADERS not in names:
        raise TypeError(f"add_request takes no {_HEADERS}")
    place = names.index(_HEADERS) - 1  # without `self`

    def joined(engine: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            if recording.active is None or not joining.makes_spans(engine):
                return kwargs
            joining.warn_of_crash(engine)
            if kwargs.get(_HEADERS) or len(args) > place:  # somebody has said what they are
                return kwargs
            headers = joining.headers_of(trace_api.get_current_span())
            return kwargs if headers is None else {**kwargs, _HEADERS: headers}
        except Exception:
            drops.internal_error("continuing a trace in vLLM")
            return kwargs

    if asyncio.iscoroutinefunction(original):

        @functools.wraps(original)
        async def add_request(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await original(self, *args, **joined(self, args, kwargs))

        return add_request

    @functools.wraps(original)
    def add_request_now(self: Any, *args: Any, **kwargs: Any) -> Any:
        return original(self, *args, **joined(self, args, kwargs))

    return add_request_now


def _setting_provider(original: Method) -> Method:
    """Wrap `set_tracer_provider` as vLLM's own modules call it."""

    @functools.wraps(original)
    def set_tracer_provider(provider: Any) -> None:
        try:
            if joining.keeps_provider(provider):
                return
        except Exception:
            drops.internal_error("vLLM's TracerProvider")
        original(provider)

    return set_tracer_provider


# --- what is told at all --------------------------------------------------------------------------


def _covered() -> bool:
    """Say whether somebody's span already stands for this call, or nobody wants one."""
    span = trace_api.get_current_span()
    if span is not trace_api.INVALID_SPAN and span.is_recording():
        attributes = attributes_of(span)  # type: ignore[arg-type]
        if (
            attributes.get(sc.OPERATION_NAME) in _COVERED
            or attributes.get(sc.OPENINFERENCE_SPAN_KIND) == "LLM"
            or sc.OPENLLMETRY_REQUEST_TYPE in attributes
        ):
            return True
    return suppressed()


def _speaks(llm: Any) -> bool:
    """Say whether this process tells of an `LLM`'s calls.

    With an external launcher all ranks of a tensor-parallel group generate the same, each in its own `LLM`: the
    first tells. Where nothing says which one this is, it does.
    """
    config = getattr(getattr(getattr(llm, "llm_engine", None), "vllm_config", None), "parallel_config", None)
    if getattr(config, "distributed_executor_backend", None) != "external_launcher":
        return True
    ranks = int(getattr(config, "world_size", 1))  # tensor and pipeline parallel
    if ranks <= 1:
        return True
    state: Any = sys.modules.get("vllm.distributed.parallel_state")
    try:
        return bool(state.get_tensor_model_parallel_rank() == 0 and state.get_pp_group().is_first_rank)
    except Exception:  # not initialised, or named otherwise in this release
        rank = os.environ.get("RANK", "")
        return not rank.isdigit() or int(rank) % ranks == 0


SEAMS: Final = (
    Seam("vllm.entrypoints.llm", "LLM.__init__", _constructor),
    Seam("vllm.entrypoints.llm", "LLM.generate", functools.partial(_batch, endpoint=COMPLETION)),
    Seam("vllm.entrypoints.llm", "LLM.chat", functools.partial(_batch, endpoint=CHAT)),
    Seam("vllm.v1.engine.llm_engine", "LLMEngine.add_request", _adding),
    Seam("vllm.v1.engine.output_processor", "OutputProcessor._update_stats_from_finished", _finished),
    Seam("vllm.v1.engine.async_llm", "AsyncLLM.generate", _stream),
    Seam("vllm.v1.engine.async_llm", "AsyncLLM.add_request", _adding),
    # A package with `otel` in it since 0.13, one module before.
    Seam("vllm.tracing.otel", "set_tracer_provider", _setting_provider),
    Seam("vllm.tracing", "set_tracer_provider", _setting_provider),
)
