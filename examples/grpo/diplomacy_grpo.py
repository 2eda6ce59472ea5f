"""GRPO on the Diplomacy engine: games in parallel are rollouts, and each is a session with phases of its own.

From the reward of a step one comes to a game, from there to a phase, to the orders that were asked for, and back to
the loss that learned from them. Needs `diplomacy`, besides torch and transformers.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import time_ns
from typing import Any

import torch
from tinygrpo import options, telemetry
from tinygrpo.board import Board, demonstrations
from tinygrpo.experience import Experience, batch_loss, compare, shuffled
from tinygrpo.policy import Policy, Sample, load
from tinygrpo.warmup import warm_up

import otel_llm


@dataclass
class TrainingConfig:
    """What a training is like.

    Attributes:
        model_name: a model of transformers; default: a tiny one.
        num_episodes: episodes, each a step: games are played, and learned from.
        powers: who is played; in each episode a group of games for each of `rollouts_per_step` of them in turn.
        max_year: the last year that is played.
        use_wandb: write a W&B run, else TensorBoard in `log_dir`.
    """

    model_name: str | None = None
    num_episodes: int = 60
    powers: Sequence[str] = ("FRANCE", "AUSTRIA")
    max_year: int = 1901
    group_size: int = 8
    rollouts_per_step: int = 2
    train_batch_size: int = 8
    lr: float = 1e-3
    temperature: float = 1.0
    max_length: int = 512
    max_new_tokens: int | None = 24
    max_prompts: int = 512
    kl_weight: float = 0.01
    clip: float = 0.2
    seed: int = 42
    frozen: bool = False
    use_wandb: bool = True
    wandb_project: str = "diplomacy-grpo"
    run_name: str | None = None
    log_dir: Path = field(default_factory=lambda: Path("logs"))
    store: Path = field(default_factory=lambda: Path(".otel_llm"))
    content: str = "full"
    checkpoint_interval: int = 20
    output: Path = field(default_factory=lambda: Path("grpo_checkpoints"))

    def options(self) -> argparse.Namespace:
        """Return it as the options that the other loops have."""
        return argparse.Namespace(**asdict(self), wandb=self.use_wandb, loop="diplomacy_grpo")


@dataclass
class Table:
    """One game while it is played.

    Attributes:
        board: the game.
        rollout: its scope as a rollout.
        session: its scope as a game.
        sample: its tokens.
        valid: how many orders were legal.
        asked: how many were asked for.
    """

    board: Board
    rollout: Any
    session: Any
    sample: Sample
    valid: int = 0
    asked: int = 0


@otel_llm.reward("centers")
def centers(table: Table) -> float:
    """Score the supply centres that were gained."""
    return float(len(table.board.centers) - table.board.began_with)


@otel_llm.reward("legal")
def legal(table: Table) -> float:
    """Score up to 0.5 for orders that are legal."""
    return 0.5 * table.valid / max(1, table.asked)


class DiplomacyGRPOTrainer:
    """Trains a policy on games that it plays.

    Args:
        config: what the training is like.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.args = config.options()
        shown = demonstrations(config.powers, config.max_year, config.seed)
        telemetry.start(self.args)  # from now on each game of the engine is a session
        torch.manual_seed(config.seed)
        self.policy: Policy = load(
            self.args, [text for one in shown for text in (one.prompt, *dict(one.said))]
        )
        warm_up(self.policy, shown, self.args)
        self.reference = self.policy.reference()
        self.optimizer = torch.optim.AdamW(self.policy.model.parameters(), lr=config.lr)
        self.order = torch.Generator().manual_seed(config.seed)
        self.updates = 0

    def train(self) -> None:
        """Play, learn, and do so again."""
        episodes = range(1, self.config.num_episodes + 1)
        with (
            telemetry.run(self.args, self.policy, "grpo", environment="diplomacy"),
            otel_llm.TrainingMetrics() as metrics,
        ):
            for episode in otel_llm.steps(episodes):
                experiences = self.play_episode(episode)
                compare(experiences, self.policy, self.reference, self.args)
                metrics.rollouts(
                    [one.reward for one in experiences],
                    [one.kl for one in experiences],
                    [one.advantage for one in experiences],
                    replay_buffer_size=len(experiences),
                )
                self.learn(experiences, metrics)
                telemetry.checkpoint(episode, self.policy, metrics, self.args)
                telemetry.show(episode, experiences)
        otel_llm.shutdown()

    # --- playing --------------------------------------------------------------------------------------

    def play_episode(self, episode: int) -> list[Experience]:
        """Play games in parallel, phase by phase; each session is opened and closed here."""
        tables = [
            self.open_table(episode, group, index)
            for group in range(self.config.rollouts_per_step)
            for index in range(self.config.group_size)
        ]
        while playing := [table for table in tables if not table.board.is_over]:
            began = time_ns()
            for table, answer in zip(playing, self.generate_batch_responses(playing), strict=True):
                with table.session.use():
                    self.play_phase(table, answer, began)
        return [self.close_table(table) for table in tables]

    def open_table(self, episode: int, group: int, index: int) -> Table:
        """Open a rollout, its session and its game."""
        config = self.config
        power = config.powers[group % len(config.powers)]
        name = f"{episode}-{group}-{index}"
        rollout = otel_llm.rollout(name, group=f"{episode}-{group}", index=index).start()
        session = otel_llm.game(
            f"episode-{name}",
            name="diplomacy",
            players={power: self.policy.name},
            training=True,
            episode=episode,
            step=episode,
            parent=rollout,
        ).start()
        with session.use():  # the engine tells of its game there
            board = Board(power, config.max_year)
            prompt = board.prompt(listing=not self.policy.is_tiny)
        return Table(board, rollout, session, self.policy.prompt([{"role": "user", "content": prompt}]))

    def generate_batch_responses(self, tables: Sequence[Table]) -> list[str]:
        """Ask the policy for the orders of all games at once."""
        with otel_llm.part("generation", model=self.policy.name):
            return self.policy.sample(
                [table.sample for table in tables], self.args, new_tokens=self.config.max_new_tokens or 24
            )

    def play_phase(self, table: Table, answer: str, began: int) -> None:
        """Take a power's answer for its orders, and carry them out."""
        board, power = table.board, table.board.power
        with otel_llm.phase(board.phase).start(began):
            with otel_llm.interaction("order", power=power, model=self.policy.name).start(began) as turn:
                turn.content(prompt=board.prompt(listing=not self.policy.is_tiny), response=answer)
                orders, wrong = board.parse(answer)
                table.valid += len(orders)
                table.asked += max(len(board.units), len(orders) + len(wrong))
                turn.set(
                    orders=orders, invalid_orders=wrong, centers=len(board.centers), units=len(board.units)
                )
            board.play(orders)
        if not board.is_over:
            ids = self.policy.tokenizer(board.said(), add_special_tokens=False)["input_ids"]
            table.sample.append(ids, sampled=False)

    def close_table(self, table: Table) -> Experience:
        """Score a game, and close its session and its rollout."""
        with table.rollout.use():
            earned = centers(table) + legal(table)
        table.session.set(status="completed", reward=earned)
        table.session.end()
        sample = table.sample
        said = self.policy.tokenizer.decode(sample.ids[sample.prompt :])
        table.rollout.content(prompt=self.policy.text(sample.ids[: sample.prompt]), response=said)
        table.rollout.tokens(input=sample.prompt, output=sample.sampled, truncated=sample.truncated)
        table.rollout.end()
        return Experience(sample, table.rollout, earned)

    # --- learning -------------------------------------------------------------------------------------

    def learn(self, experiences: list[Experience], metrics: otel_llm.TrainingMetrics) -> None:
        """Learn from the games of an episode."""
        parameters = list(self.policy.model.parameters())
        for micro_step, batch in enumerate(shuffled(experiences, self.config.train_batch_size, self.order)):
            self.updates += 1
            rollouts = [one.rollout for one in batch]
            with otel_llm.loss(rollouts, micro_step=micro_step, update=self.updates) as part:
                loss = batch_loss(batch, self.policy, self.args)
                part.set(loss=loss.total)
            if not loss.total.isfinite():
                metrics.invalid_loss(self.updates)
                continue
            with otel_llm.part("backward"):
                loss.total.backward()
            with otel_llm.part("optimizer", update=self.updates):
                norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                if not self.config.frozen:
                    self.optimizer.step()
                self.optimizer.zero_grad()
            metrics.training_step(
                loss.total, kl=loss.kl, grad_norm=norm, learning_rate=self.config.lr, step=self.updates
            )
        metrics.epoch_end(self.updates)


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    default = TrainingConfig()
    parser = options.parser(
        "diplomacy_grpo",
        __doc__,
        rollouts_per_step=default.rollouts_per_step,
        train_batch_size=default.train_batch_size,
        max_length=default.max_length,
        max_new_tokens=default.max_new_tokens,
    )
    parser.add_argument("--powers", nargs="+", default=default.powers, help="who is played, in turn")
    parser.add_argument("--max-year", type=int, default=default.max_year)
    given = vars(parser.parse_args(argv))
    given |= {"num_episodes": given.pop("steps"), "use_wandb": given.pop("wandb")}
    given.pop("loop")
    DiplomacyGRPOTrainer(TrainingConfig(**given)).train()


if __name__ == "__main__":
    main()
