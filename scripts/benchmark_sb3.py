"""Measures the bubble environment and the agents of Stable-Baselines3.

    python scripts/benchmark_sb3.py speed [DATA]
    python scripts/benchmark_sb3.py compare DATA --split SPLIT.json --list LIST --sets SET… [--policies A.zip B.zip]

`speed` prints steps per second of random legal actions, wall time and this process's CPU time; without DATA of the toy,
which has no model. `compare` lets each policy act on the validation classes (validation sets of `gpoa train sb3`) and
prints mean IoU (in SAM's frame of 256 cells, over classes), beside the start and untrained searches at equal decoder
calls.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gpoa.config import GpoaConfig, Sb3Config
from gpoa.datasets.classes import LabelledClass, load_many
from gpoa.envs.bubble_episode import BubbleEpisode
from gpoa.envs.bubble_prompts import BubblePromptsEnv
from gpoa.envs.bubble_toy import toy_episode
from gpoa.features.cache import EmbeddingCache
from gpoa.pipeline.bubble import bubble_contract
from gpoa.pipeline.image import ImagePipeline
from gpoa.policies.sb3_policy import load_sb3_policy
from gpoa.rl.bubble_episodes import BubbleEpisodes, draw_pairs, validation_pairs, without_guard
from gpoa.rl.prior_pairs import set_of
from gpoa.rl.sb3_evaluate import BubbleScore, Episodes, means, play, score
from gpoa.runtime.machine import default_cache_folder
from gpoa.search.strategies import variants

SAMPLES = 2000
MARGINS = (0.0, 0.05)
"""For best-of-n: take the best, and about what `--strategy posterior` asks of a change."""
EMPTY = np.zeros((256, 256), dtype=np.float32)


class RandomPolicy:
    """Random legal actions, the control of what a policy adds."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def choose(self, observation: np.ndarray, legal: np.ndarray) -> int:
        """Any legal action."""
        return int(self.rng.choice(np.flatnonzero(legal)))


class FirstCandidates:
    """The rule without learning: the action kind in turn, its best candidate, never STOP."""

    def __init__(self) -> None:
        self.turn = 0

    def choose(self, observation: np.ndarray, legal: np.ndarray) -> int:
        """The best candidate of the next kind that has one; STOP where none has."""
        for _ in range(4):
            self.turn = (self.turn + 1) % 4
            if legal[4 * self.turn]:
                return 4 * self.turn
        return len(legal) - 1


def best_of_n(episodes: Episodes, budget: int, margin: float) -> list[BubbleScore]:
    """A fixed list of sets (`gpoa.search.strategies.variants`), judged by the same expected IoU."""
    scores = []
    for name, own in episodes.items():
        for episode in own:
            start = episode.start().look
            sets = [prompts for said, prompts in variants(episode.image.start, EMPTY) if said != "refined"]
            looks = [start, *(episode.look_at(prompts) for prompts in sets[: budget - 1] if not prompts.is_empty)]
            best = max(looks, key=lambda look: look.expected_iou)
            kept = best if best.expected_iou > start.expected_iou + margin else start
            truths = [float(look.truth or 0.0) for look in looks]
            final = truths[next(place for place, look in enumerate(looks) if look is kept)]
            scores.append(BubbleScore(name, truths[0], final, truths[-1], max(truths), len(looks)))
    return scores


def open_classes(classes: list[LabelledClass], settings: Sb3Config, training: bool) -> BubbleEpisodes:
    """Opens the pairs of some classes, from the user's embedding cache."""
    pipeline = ImagePipeline(without_guard(GpoaConfig()), EmbeddingCache(default_cache_folder()))
    pairs = draw_pairs(classes, settings.pairs, 0) if training else validation_pairs(classes, settings.eval_pairs)
    episodes = BubbleEpisodes(pipeline, pairs, settings)
    for _ in episodes.open():
        pass
    return episodes


def speed(data: Path | None, steps: int) -> None:
    """Prints steps per second; every set is decoded anew, as if no state were ever met again."""
    if data is None:
        draw: Callable[[np.random.Generator], BubbleEpisode] = toy_episode
    else:
        draw = open_classes(load_many([data], limit=3)[:4], Sb3Config(pairs=1, images=3), training=True).draw
    env, rng = BubblePromptsEnv(draw), np.random.default_rng(0)
    done, wall, cpu = 0, time.perf_counter(), time.process_time()
    while done < steps:
        env.reset(seed=done)
        env.episode.forget()
        ended = False
        while not ended:
            action = int(rng.choice(np.flatnonzero(env.action_masks()[:-1])))
            _, _, terminated, truncated, _ = env.step(action)
            done, ended = done + 1, terminated or truncated
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{'toy' if data is None else data}: {done} steps, {done / wall:.1f} a second of wall time, ", end="")
    print(f"{done / cpu:.1f} a second of CPU time")


def compare(arguments: argparse.Namespace) -> None:
    """Prints one row for each policy and control."""
    settings = Sb3Config(images=arguments.images, eval_pairs=arguments.pairs)
    classes = load_many([arguments.data], [arguments.split] if arguments.split else [], arguments.list, settings.images)
    held = [one for one in classes if not arguments.sets or set_of(one.name) in arguments.sets]
    episodes = open_classes(held, settings, training=False).by_class
    rows: dict[str, list[BubbleScore]] = {}
    for margin in MARGINS:
        rows[f"best-of-n, margin {margin:g}"] = best_of_n(episodes, arguments.budget, margin)
    for name, control in (("random", RandomPolicy(0)), ("first candidates", FirstCandidates())):
        rows[f"{name}, best expected"] = score(play(control, episodes, arguments.budget), 0.0)
    for path in arguments.policies:
        policy = load_sb3_policy(path, bubble_contract(GpoaConfig()))
        played = play(policy, episodes, arguments.budget)
        rows[f"{policy.card.algorithm}, {path}"] = score(played, policy.card.margin)
    print("| policy | start | handed out | last | best seen | calls | worse | gain (95 %) |\n" + "|---" * 8 + "|")
    for name, found in rows.items():
        values, (low, high) = means(found), interval(found)
        cells = [f"{values[key]:.3f}" for key in ("start", "final", "last", "best_seen")]
        gain = f"{values['final'] - values['start']:+.3f} ({low:+.3f} to {high:+.3f})"
        print(f"| {name} | {' | '.join(cells)} | {values['calls']:.1f} | {100 * values['worse']:.0f} % | {gain} |")
    print(f"{sum(map(len, episodes.values()))} images of {len(episodes)} classes, at most {arguments.budget} calls")


def interval(scores: list[BubbleScore]) -> tuple[float, float]:
    """95 % interval of the mean gain over classes, images drawn anew within each class."""
    rng, gains = np.random.default_rng(0), {}
    for one in scores:
        gains.setdefault(one.name, []).append(one.final - one.start)
    draws = [np.array(own)[rng.integers(len(own), size=(SAMPLES, len(own)))].mean(axis=1) for own in gains.values()]
    low, high = np.percentile(np.mean(draws, axis=0), [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="what", required=True)
    fast = parts.add_parser("speed")
    fast.add_argument("data", type=Path, nargs="?")
    fast.add_argument("--steps", type=int, default=200)
    other = parts.add_parser("compare")
    other.add_argument("data", type=Path)
    other.add_argument("--split", type=Path)
    other.add_argument("--list", default="train")
    other.add_argument("--sets", nargs="*", default=[])
    other.add_argument("--policies", type=Path, nargs="*", default=[])
    other.add_argument("--budget", type=int, default=8)
    other.add_argument("--images", type=int, default=8)
    other.add_argument("--pairs", type=int, default=24)
    arguments = parser.parse_args()
    if arguments.what == "speed":
        speed(arguments.data, arguments.steps)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
