"""Free-text labels -> a clean label set: normalised, synonyms grouped, every merge with its evidence, people in charge.

    vocabulary = Vocabulary.load("vocabulary.yaml")
    vocabulary.canonical("Some couches")    # "sofa", or None where people dropped the text

Reading and applying a vocabulary needs no model, no WordNet and no torch; building one is in `zgcore.vocabulary.build`.
"""

from zgcore.vocabulary.decisions import Decisions
from zgcore.vocabulary.errors import VocabularyError
from zgcore.vocabulary.labels import Label, Member
from zgcore.vocabulary.normalise import normalise
from zgcore.vocabulary.vocabulary import Resolution, Vocabulary

__all__ = ["Decisions", "Label", "Member", "Resolution", "Vocabulary", "VocabularyError", "normalise"]
