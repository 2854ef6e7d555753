"""Every failure a user can meet, with the sentence that names the cure.

Each class carries the exit code the command line ends with, so that the mapping stands in one place.
"""


class ZeroguideError(Exception):
    """Base of all errors that are the user's or the machine's to mend, never a bug's traceback."""

    exit_code = 1


class ConfigError(ZeroguideError, ValueError):
    """A setting is out of its bounds, or two settings contradict each other."""

    exit_code = 2


class WeightsError(ZeroguideError):
    """Model weights are missing, damaged or of the wrong shape."""

    exit_code = 3


class ImageError(ZeroguideError):
    """An image cannot be read. Subclasses say why; the message starts with the file's name."""


class ImageMissing(ImageError, FileNotFoundError):
    """No such file."""


class ImageIsDirectory(ImageError, IsADirectoryError):
    """A folder was given where one image was expected."""


class ImageUnreadable(ImageError, PermissionError):
    """The file exists but the operating system refuses to open it."""


class ImageEmpty(ImageError):
    """The file has no bytes."""


class ImageFormatError(ImageError):
    """The bytes are not an image of a supported format."""


class ImageTruncated(ImageError):
    """The file starts as an image but ends, or breaks, before its pixels do."""


class ImageTooLarge(ImageError):
    """The image has more pixels than the limit; nothing was decoded."""


class EvaluationError(ZeroguideError):
    """A data set, a prediction file or an evaluation run is missing, damaged or does not fit."""

    exit_code = 2


class StudyError(ZeroguideError):
    """A rating study's manifest, answers or settings cannot be used."""

    exit_code = 2
