"""What can be wrong with a vocabulary."""

from zgcore.errors import ConfigError


class VocabularyError(ConfigError):
    """A vocabulary file, or a decision in it, cannot be used; the message says where and what to write instead."""
