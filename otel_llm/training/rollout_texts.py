"""Prompts and answers of the rollouts of a batch, as content attributes; on the worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from otel_llm import semconv as sc
from otel_llm.closing import messages_of
from otel_llm.content import ContentPolicy
from otel_llm.llm import LLMCall

if TYPE_CHECKING:
    from otel_llm.attributes import Describer
    from otel_llm.llm import AttributeValue

_ORDER: Final = list(ContentPolicy)
_TEXTUAL: Final = frozenset({ContentPolicy.PREVIEW, ContentPolicy.FULL})

Attributes = dict[str, "AttributeValue"]


class RolloutTexts:
    """The texts of a batch, under the content policies in force.

    Args:
        describer: knows the policies, and takes secrets out.
        prompts: of each rollout, as far as there are any: a text, or messages as SDKs take them.
        answers: likewise.
        tasks: what else the dataset has of each, as JSON.
        kept_of: the rollouts of which more than lengths may be kept.
    """

    def __init__(
        self,
        describer: Describer,
        prompts: Sequence[Any],
        answers: Sequence[Any],
        tasks: Sequence[Any],
        kept_of: frozenset[int],
    ) -> None:
        self._describer = describer
        self._prompts = prompts
        self._answers = answers
        self._tasks = tasks
        self._kept_of = kept_of
        self._policies = describer.policies
        self._asked: dict[ContentPolicy, tuple[Any, Attributes]] = {}

    def of(self, index: int) -> tuple[Attributes, Attributes]:
        """Return what a rollout's span gets, and what the local store alone keeps besides."""
        prompt, answer = _at(self._prompts, index), _at(self._answers, index)
        if prompt is None and answer is None:
            return {}, {}
        policy, stored = self._policies
        if index not in self._kept_of:
            policy = stored = min(policy, ContentPolicy.LENGTH, key=_ORDER.index)
        task = _at(self._tasks, index)
        described = self._under(policy, prompt, answer, task)
        differs = stored is not policy and self._describer.keep is not None
        return described, self._under(stored, prompt, answer, task) if differs else {}

    def _under(self, policy: ContentPolicy, prompt: Any, answer: Any, task: Any) -> Attributes:
        found = self._of_prompt(policy, prompt).copy()
        if answer is not None:
            call = LLMCall("", "", output_messages=messages_of(answer, "assistant"))
            found.update(self._describer.content(call, policy))
        if task is not None and policy in _TEXTUAL:
            found[sc.SAMPLE_TASK] = self._describer.scrub(task)[: self._describer.longest(policy)]
        return found

    def _of_prompt(self, policy: ContentPolicy, prompt: Any) -> Attributes:
        """Return the attributes of a prompt; those of a group share one, one after the other."""
        if prompt is None:
            return {}
        last = self._asked.get(policy)
        if last is not None and (last[0] is prompt or last[0] == prompt):
            return last[1]
        call = LLMCall("", "", input_messages=messages_of(prompt, "user"))
        found = self._describer.content(call, policy)
        self._asked[policy] = prompt, found
        return found


def _at(items: Sequence[Any], index: int) -> Any:
    return items[index] if index < len(items) else None
