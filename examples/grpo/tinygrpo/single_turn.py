"""Rollouts of one turn: a question, an answer, and what it earned."""

import argparse
from collections.abc import Sequence
from typing import Any

import otel_llm
from tinygrpo.experience import Experience
from tinygrpo.policy import Policy, Sample
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
    """Answer each question as often as a group is large, all at once, and score the answers one by one.

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
    samples, answers, sampling = answer(policy, task, asked, args)

    experiences = []
    with otel_llm.part("rewards"):
        for number, (question, sample, said) in enumerate(zip(asked, samples, answers, strict=True)):
            group, index = f"{step}-{first_group + number // args.group_size}", number % args.group_size
            # All were sampled at once: each rollout began when that did.
            rollout = otel_llm.rollout(f"{group}-{index}", group=group, index=index)
            with rollout.start(sampling.start_ns):
                rollout.content(prompt=question.text, response=said)
                rollout.tokens(input=sample.prompt, output=sample.sampled, truncated=sample.truncated)
                earned = task.score(said, question)  # each reward adds a component to the rollout
            experiences.append(Experience(sample, rollout, sum(earned.values())))
    return experiences


def roll_out_together(
    policy: Policy, task: Task, questions: Sequence[Question], args: argparse.Namespace
) -> list[Experience]:
    """Do the same, and tell of all rollouts with one call: they cost less, and a reward is one span for all."""
    asked = [question for question in questions for _ in range(args.group_size)]
    samples, answers, sampling = answer(policy, task, asked, args)
    with otel_llm.part("rewards"):
        rewards = task.score_all(answers, asked)
    rollouts = otel_llm.rollouts(
        prompts=[question.text for question in questions],
        completions=answers,
        rewards=rewards,
        group_size=args.group_size,
        input_tokens=[one.prompt for one in samples],
        output_tokens=[one.sampled for one in samples],
        truncated=[one.truncated for one in samples],
        during=sampling,
    )
    earned = [sum(scores) for scores in zip(*rewards.values(), strict=True)]
    return list(map(Experience, samples, rollouts, earned))


def answer(
    policy: Policy, task: Task, asked: Sequence[Question], args: argparse.Namespace
) -> tuple[list[Sample], list[str], Any]:
    """Answer questions, all at once; returns tokens, texts, and the part of the step that it was."""
    with otel_llm.part("generation", model=policy.name, temperature=args.temperature) as sampling:
        samples = [policy.prompt([{"role": "user", "content": question.text}]) for question in asked]
        answers = policy.sample(samples, args, new_tokens=args.max_new_tokens or task.new_tokens)
        sampling.set(
            input_tokens=sum(one.prompt for one in samples), output_tokens=sum(one.sampled for one in samples)
        )
    return samples, answers, sampling
