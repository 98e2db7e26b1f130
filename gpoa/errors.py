"""Errors that a user can act on.

The command line prints the message of a `GpoaError` as one line and exits with status 2; everything else is a defect of
ours and shows its traceback. A message says what is wrong, where, and what to do about it.
"""


class GpoaError(Exception):
    """Base of every error that the user can mend; its message is one line."""


class ImageError(GpoaError):
    """An image file cannot be used: missing, empty, corrupt, or of a kind that we do not read."""


class MaskError(GpoaError):
    """A mask cannot be used: another size than its image, empty, full, or of more than two values."""


class DataError(GpoaError):
    """A folder or a set of files does not have the expected layout."""


class ModelError(GpoaError):
    """A model is unknown, missing, truncated, or not the one that a file was made with."""


class PromptError(GpoaError):
    """A prompt file cannot be read, or was made by other models than the ones in use."""


class ConfigError(GpoaError):
    """A configuration value is out of range or contradicts another."""
