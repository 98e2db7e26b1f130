"""The decision processes, and their names in Gymnasium."""

from gpoa.envs.registration import register_environments

register_environments()
