"""Reinforcement learning of the graph policy."""
