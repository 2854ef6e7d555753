"""What the settings say of predictions, for the server and for `zeroguide prelabel` alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ls_backend.people import PeoplePolicy
from ls_backend.protocol import PredictionOptions, same_word
from zgcore.vocabulary import Vocabulary

if TYPE_CHECKING:
    from ls_backend.protocol import Match
    from ls_backend.settings import Settings


def prediction_options(settings: Settings, match: Match = same_word) -> PredictionOptions:
    """Options that give the same results wherever `model_version` is the same. VocabularyError for a broken file."""
    return PredictionOptions(
        max_regions=settings.max_regions,
        min_area=settings.min_area,
        smooth=settings.smooth,
        fill_holes=settings.fill_holes,
        people=PeoplePolicy(settings.people_labels),
        vocabulary=None if settings.vocabulary is None else Vocabulary.load(settings.vocabulary),
        match=match,
    )
