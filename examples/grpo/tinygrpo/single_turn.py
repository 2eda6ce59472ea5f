"""Rollouts of one turn: a question, an answer, and what it earned."""

import argparse
from collections.abc import Sequence
from time import time_ns

import otel_llm
from tinygrpo.experience import Experience
from tinygrpo.policy import Policy
from tinygrpo.tasks import Question, Task


def roll_out(
    policy: Policy,
    task: Task,
    questions: Sequence[Question],
    args: argparse.Namespace,
    *,
    step: int,
    first_group: int = 0,
) -> list[Experience]:
    """Answer each question as often as a group is large, all at once, and score the answers.

    Args:
        policy: what answers.
        task: tells what an answer earns.
        questions: one a group.
        args: the options.
        step: the step that this is for.
        first_group: number of the first group, where other processes have others.

    Returns:
        What was experienced, group by group.
    """
    asked = [question for question in questions for _ in range(args.group_size)]
    began = time_ns()
    with otel_llm.part("generation"):
        samples = [policy.prompt([{"role": "user", "content": question.text}]) for question in asked]
        answers = policy.sample(samples, args, new_tokens=args.max_new_tokens or task.new_tokens)

    experiences = []
    with otel_llm.part("rewards"):
        for number, (question, sample, answer) in enumerate(zip(asked, samples, answers, strict=True)):
            group, index = f"{step}-{first_group + number // args.group_size}", number % args.group_size
            # All were sampled at once: each rollout began when that did.
            with otel_llm.rollout(f"{group}-{index}", group=group, index=index).start(began) as rollout:
                rollout.content(prompt=question.text, response=answer)
                rollout.tokens(input=sample.prompt, output=sample.sampled, truncated=sample.truncated)
                earned = task.score(answer, question)  # each reward adds a component to the rollout
            experiences.append(Experience(sample, rollout, sum(earned.values())))
    return experiences
