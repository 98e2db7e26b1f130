"""Errors that a user can act on.

The command line prints the message of a `GpoaError` as one line and exits with status 2; everything else is a defect of
ours and shows its traceback. A message says what is wrong, where, and what to do about it.
"""


def one_line(error: BaseException) -> str:
    """An error's text without line breaks, at most 300 characters; its kind where it has no text."""
    return " ".join(str(error).split())[:300] or type(error).__name__


class GpoaError(Exception):
    """Base of every error that the user can mend; its message is one line."""


class ImageError(GpoaError):
    """An image file cannot be used: missing, empty, corrupt, or of a kind that we do not read."""


class MaskError(GpoaError):
    """A mask cannot be used: another size than its image, empty, full, or of more than two values."""


class DataError(GpoaError):
    """A folder or a set of files does not have the expected layout."""


class DiskFullError(DataError):
    """A file cannot be written because no space is left, or the user's quota is used up."""


class ModelError(GpoaError):
    """A model is unknown, missing, truncated, or not the one that a file was made with."""


class PromptError(GpoaError):
    """A prompt file cannot be read, or was made by other models than the ones in use."""


class ConfigError(GpoaError):
    """A configuration value is out of range or contradicts another."""
