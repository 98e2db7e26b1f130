"""An agent's result in the form of every other strategy's."""

from __future__ import annotations

from gpoa.envs.episode import PromptEpisode
from gpoa.search.agent import AgentResult
from gpoa.search.keep_best import Judged
from gpoa.search.strategies import Trial


def to_trials(episode: PromptEpisode, result: AgentResult) -> list[tuple[Trial, Judged]]:
    """Every mask that was judged, as a trial; the start first.

    Args:
        episode: the image.
        result: from `run_agent`.

    Returns:
        (trial, judgement); the score of a trial is its expected IoU.
    """
    names: dict[bytes, str] = {}
    for visit in result.visits:
        names.setdefault(episode.nodes.prompt_key(visit.active), visit.name)
    trials = []
    for judged in result.judged:
        feedback, output = episode.feedback(judged.active), episode.nodes.output(judged.active)
        name = names[episode.nodes.prompt_key(judged.active)]
        trial = Trial(
            name=name if output == episode.nodes.output(episode.nodes.start) else f"{name}, output {output}",
            prompts=episode.nodes.to_prompts(judged.active),
            logits=feedback.logits_of(output),
            predicted_iou=float(feedback.readings[output].scalars[0]),
            score=judged.iou,
        )
        trials.append((trial, judged))
    return trials
