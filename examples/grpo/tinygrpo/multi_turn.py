"""Rollouts of several turns: the policy calls a tool, reads what it says, and goes on. All rollouts at once.

A call is text between tags, `<search>Ann</search>`; what the tool says is added as `<result>…</result>`, and the policy
goes on from there. Only tokens that the policy has sampled are learned from.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import time_ns
from typing import Any

import otel_llm
from tinygrpo.experience import Experience
from tinygrpo.policy import Policy, Sample
from tinygrpo.tasks import Question, Task

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a policy calls by a tag.

    Attributes:
        name: what it is called.
        tag: what is between `<tag>` and `</tag>` is its argument.
        argument: what its argument is called.
        run: returns what it says; is given the argument and the question. A ValueError is an answer, too.
    """

    name: str
    tag: str
    argument: str
    run: Callable[[str, Question], str]

    def asked(self, text: str) -> str | None:
        """Return the argument, if a text ends with a call."""
        found = re.search(rf"<{self.tag}>\s*(.*?)\s*</{self.tag}>$", text.strip(), re.DOTALL)
        return found[1] if found else None


@dataclass(slots=True)
class Conversation:
    """A rollout in the making.

    Attributes:
        question: what was asked.
        sample: its tokens.
        rollout: its scope.
        said: what followed the question, as messages in OpenTelemetry's shape.
        calls: argument and result of each call, the result None where it failed.
        answer: what the policy said last.
    """

    question: Question
    sample: Sample
    rollout: Any
    said: list[Message] = field(default_factory=list)
    calls: list[tuple[str, str | None]] = field(default_factory=list)
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolTask(Task):
    """A task with a tool.

    Attributes:
        tool: the tool.
        turns: how often the policy may speak.
        judges: rewards that look at the calls, too; given the conversation.
    """

    tool: Tool
    turns: int
    judges: Sequence[Callable[[Conversation], float]] = ()


def roll_out(
    policy: Policy, task: ToolTask, questions: Sequence[Question], args: argparse.Namespace, *, step: int
) -> list[Experience]:
    """Answer each question as often as a group is large; returns what was experienced, group by group."""
    everybody = []
    for number, question in enumerate(questions):
        for index in range(args.group_size):
            group = f"{step}-{number}"
            rollout = otel_llm.rollout(f"{group}-{index}", group=group, index=index, prompt=question.text)
            prompt = policy.prompt([{"role": "user", "content": question.text}])
            everybody.append(Conversation(question, prompt, rollout.start()))

    speaking = everybody
    for turn in range(task.turns):
        if not speaking:
            break
        began = time_ns()
        with otel_llm.part("generation", model=policy.name):
            texts = policy.sample(
                [one.sample for one in speaking],
                args,
                new_tokens=args.max_new_tokens or task.new_tokens,
                stop=[f"</{task.tool.tag}>"],
            )
        for one, text in zip(speaking, texts, strict=True):
            with otel_llm.turn(turn, parent=one.rollout).start(began) as scope:
                scope.content(prompt=one.said[-1:] or one.question.text, response=text)
                take_turn(one, text, task.tool, policy)
        speaking = [one for one in speaking if one.said[-1]["role"] == "tool"]

    return [finish(one, task) for one in everybody]


def take_turn(one: Conversation, text: str, tool: Tool, policy: Policy) -> None:
    """Note what the policy said, and run the tool if it asked for that."""
    asked = tool.asked(text)
    parts: list[dict[str, Any]] = [{"type": "text", "content": text}]
    one.answer = text
    if asked is not None:
        call_id = f"call-{len(one.calls)}"
        parts.append(
            {"type": "tool_call", "id": call_id, "name": tool.name, "arguments": {tool.argument: asked}}
        )
    one.said.append({"role": "assistant", "parts": parts})
    if asked is None:
        return
    result = None
    with otel_llm.tool(tool.name, call_id=call_id, arguments={tool.argument: asked}) as used:
        try:
            result = tool.run(asked, one.question)
        except ValueError as error:
            used.fail(error)
        told = "error" if result is None else result
        used.set(result=told)
    one.calls.append((asked, result))
    one.said.append(
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": call_id, "response": told}]}
    )
    tokens = policy.tokenizer(f"<result>{told}</result>", add_special_tokens=False)["input_ids"]
    one.sample.append(tokens, sampled=False)


def finish(one: Conversation, task: ToolTask) -> Experience:
    """Score a rollout, and end it."""
    with one.rollout.use():
        earned = task.score(one.answer, one.question) | {judge.__name__: judge(one) for judge in task.judges}
    one.rollout.content(response=one.said).set(
        turns=sum(message["role"] == "assistant" for message in one.said)
    )
    one.rollout.tokens(input=one.sample.prompt, output=one.sample.sampled, truncated=one.sample.truncated)
    one.rollout.end()
    return Experience(one.sample, one.rollout, sum(earned.values()))
