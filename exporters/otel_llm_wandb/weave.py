"""Spans to Weave, W&B's viewer of traces: OTLP to W&B's endpoint, with the attributes that its views read.

    OTEL_TRACES_EXPORTER=otlp,otel_llm_weave        # or instrument(exporters=["weave"])

    WANDB_API_KEY                   the login; or `wandb login` (`.netrc`)
    WANDB_ENTITY, WANDB_PROJECT     where the traces go: Weave drops spans without both
    OTEL_LLM_WEAVE_ENDPOINT         default https://trace.wandb.ai/otel/v1/traces

Weave rejects, without a word of OpenTelemetry's exporter, a span whose attribute names are no tree (`game` beside
`game.phase`), and a whole batch whose resource has `deployment.environment` beside `deployment.environment.name`
(weave#7705): such names are changed on the way. What Weave reads: https://docs.wandb.ai/weave/guides/tracking/otel.
"""

from __future__ import annotations

import netrc
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_TRACES_HEADERS
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_llm import drops
from otel_llm import semconv as sc
from otel_llm_wandb.environment import replaced
from otel_llm_wandb.semconv import (
    WANDB_DISPLAY_NAME,
    WANDB_ENTITY,
    WANDB_IS_TURN,
    WANDB_PROJECT,
    WANDB_RUN_STEP,
    WANDB_THREAD_ID,
)

ENDPOINT: Final = "https://trace.wandb.ai/otel/v1/traces"
_HOST: Final = "api.wandb.ai"
_TURNS: Final = frozenset({"interaction", "rollout"})
_LEAF: Final = ".value"
"""What the name of an attribute gets that is also the beginning of another's."""

_RESOURCES: Final = 64
_SAID: Final = 256
"""Scopes above calls that have not ended: more are not remembered."""


class WeaveSpanExporter(SpanExporter):
    """OpenTelemetry's own OTLP exporter, with what Weave needs said and nothing that it rejects.

    A game is a thread and each interaction in it a turn; so is a rollout in its run. Weave shows a turn by what goes in and
    comes out of it (weave#7066), which is what its first model call is asked and its last one answers.
    """

    def __init__(self) -> None:
        endpoint = os.environ.get("OTEL_LLM_WEAVE_ENDPOINT") or ENDPOINT
        self._entity, self._project = os.environ.get("WANDB_ENTITY"), os.environ.get("WANDB_PROJECT")
        key = os.environ.get("WANDB_API_KEY") or _key_of_netrc()
        if not (key and self._entity and self._project):
            drops.warn_once(
                "weave", "Weave drops all spans: WANDB_API_KEY, WANDB_ENTITY and WANDB_PROJECT are needed"
            )
        headers = {"wandb-api-key": key or ""}
        if self._entity and self._project:
            headers["project_id"] = f"{self._entity}/{self._project}"
        # Headers in the environment are for another backend, and OpenTelemetry's exporter would add them.
        with replaced(OTEL_EXPORTER_OTLP_TRACES_HEADERS, "accept=*/*"):
            self._exporter = OTLPSpanExporter(endpoint=endpoint, headers=headers)
        self._resources: dict[int, tuple[Resource, Resource]] = {}
        self._said: OrderedDict[tuple[int, int], tuple[Any, Any]] = OrderedDict()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        return self._exporter.export([self._for_weave(span) for span in spans])

    def shutdown(self) -> None:
        """Let go of the connection."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return self._exporter.force_flush(timeout_millis)

    def _for_weave(self, span: ReadableSpan) -> ReadableSpan:
        attributes = dict(span.attributes or {})
        scope = attributes.get(sc.SCOPE_KIND)
        self._complete_turn(span, attributes)
        attributes.setdefault(WANDB_DISPLAY_NAME, _display_name(span.name, attributes))
        thread = attributes.get(sc.CONVERSATION_ID) or attributes.get(sc.GAME_ID) or attributes.get(sc.RUN_ID)
        if thread is not None:
            attributes.setdefault(sc.CONVERSATION_ID, thread)
            attributes.setdefault(WANDB_THREAD_ID, thread)
            if scope in _TURNS:
                attributes.setdefault(WANDB_IS_TURN, True)
        step = attributes.get(sc.TRAIN_STEP, attributes.get(sc.GAME_TRAINING_STEP))
        if step is not None:
            attributes.setdefault(WANDB_RUN_STEP, step)
        return ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=self._resource(span.resource),
            attributes=tree(attributes),
            events=span.events,
            links=span.links,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    def _complete_turn(self, span: ReadableSpan, attributes: dict[str, Any]) -> None:
        """Give a turn the messages of the calls below it, as far as spans carry content; calls end before their turn."""
        context, parent = span.context, span.parent
        if context is None:
            return
        said = self._said.pop((context.trace_id, context.span_id), None)
        if attributes.get(sc.OPERATION_NAME) in sc.INFERENCE_OPERATIONS:
            said = attributes.get(sc.INPUT_MESSAGES), attributes.get(sc.OUTPUT_MESSAGES)
        if said is None or said == (None, None):
            return
        if attributes.get(sc.SCOPE_KIND) in _TURNS:
            for key, text in zip((sc.INPUT_MESSAGES, sc.OUTPUT_MESSAGES), said, strict=True):
                if text is not None:
                    attributes.setdefault(key, text)
        elif parent is not None:
            above = parent.trace_id, parent.span_id
            first, last = self._said.get(above, said)
            self._said[above] = first or said[0], said[1] or last
            if len(self._said) > _SAID:
                self._said.popitem(last=False)

    def _resource(self, resource: Resource) -> Resource:
        """Return the resource with the project, made once each: spans of one batch are grouped by it."""
        known = self._resources.get(id(resource))
        if known is None or known[0] is not resource:
            if len(self._resources) >= _RESOURCES:
                self._resources.clear()
            told = {WANDB_ENTITY: self._entity, WANDB_PROJECT: self._project}
            attributes = {**resource.attributes, **{k: v for k, v in told.items() if v}}
            known = self._resources[id(resource)] = (
                resource,
                Resource(tree(attributes), resource.schema_url),
            )
        return known[1]


def _display_name(name: str, attributes: Mapping[str, Any]) -> str:
    """Return what a reader wants to see in a list: what was done, and by whom."""
    kind, power = attributes.get(sc.INTERACTION_TYPE), attributes.get(sc.POWER_NAME)
    if attributes.get(sc.SCOPE_KIND) == "interaction" and kind:
        return f"{power} {kind}" if power else str(kind)
    return name


def tree(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes whose names form a tree: what is also the beginning of another's name becomes a leaf of it."""
    inner: set[str] = set()
    for key in attributes:
        parts = key.split(".")
        inner.update(".".join(parts[:n]) for n in range(1, len(parts)))
    made = {key: value for key, value in attributes.items() if key not in inner}
    for key in attributes.keys() & inner:
        name = key + _LEAF
        while name in made or name in inner:
            name += "_"
        made[name] = attributes[key]
    return made


def _key_of_netrc() -> str | None:
    try:
        found = netrc.netrc().authenticators(_HOST)
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None
