"""`/localize` and `/search`, the page's endpoints for programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from sspe.errors import SspeError
from sspe.web.components.photo_input import PhotoInput
from sspe.web.events import MODEL_EVENTS, on_gpu
from sspe.web.search_service import MAX_TILES, PAGE, SearchService
from sspe.web.service import MAX_TOP_K, GivenPhoto, LocalizeService


def add_endpoint(service: LocalizeService, photo: PhotoInput, sentence: gr.Textbox) -> None:
    """A listener on the page's own fields, so that Gradio checks the files it is sent."""

    def localize(
        photo: GivenPhoto | None, sentence: str | None, phrases: list[list[int]] | None = None, top_k: int = 1
    ) -> dict[str, Any]:
        """Localize the phrases of a sentence in a photo.

        Args:
            photo: The picture, JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or HEIC, of at most 64 megapixels.
            sentence: English, at most 1,000 characters.
            phrases: The phrases to localize, a list of [start, end] in characters of the sentence; null takes the
                sentence's noun phrases.
            top_k: Candidate boxes per phrase, 1 to 20.

        Returns:
            width and height of the photo in pixels, the sentence, and its phrases: text, start and end (characters of
            the sentence), head (the head noun), negated (true where the sentence denies it: "no hat"), known (false
            where the model does not know the word, whose box is then a guess), box (x1, y1, x2, y2 in pixels of the
            photo), boxes (one for each of several things, as in "two dogs"; else box alone), chosen_by (the words that
            chose one of several, such as "on the left", or null), score (how well box and phrase fit: a cosine, -1 to
            1, or 0 to 1 with a similarity network), present (probability, 0 to 1, that the photo shows the phrase),
            confidence (probability that the box is right if it does; both null without calibration and for an unknown
            word) and candidates (boxes, best first). No noun phrase in the sentence: an empty list of phrases.
        """
        try:
            return service(photo and photo.file, sentence, None, phrases, top_k)[0].to_dict()
        except SspeError as error:
            raise gr.Error(str(error), print_exception=False) from None

    phrases = gr.JSON(label="Phrases: [[start, end], ...] in characters; null: the noun phrases found", visible=False)
    top_k = gr.Number(1, label="Boxes per phrase, 1 to 20", precision=0, minimum=1, maximum=MAX_TOP_K, visible=False)
    localization = gr.JSON(label="Localization", visible=False)
    trigger = gr.Button(visible=False)
    trigger.click(
        on_gpu(localize), [photo, sentence, phrases, top_k], localization, api_name="localize", **MODEL_EVENTS
    )


def add_search_endpoint(service: SearchService) -> None:
    """A listener for programs alone: no field of the page is like these."""

    def search(
        phrases: str | list[str], without: list[str] | None = None, top: int = PAGE, at_least: float | None = None
    ) -> dict[str, Any]:
        """Find the photos of the page's collection that show all the phrases, each in a region of its own.

        Args:
            phrases: A sentence, of which each noun phrase is looked for, or a list of phrases; English.
            without: Phrases that the photos must not show; null: none.
            top: Photos at most, 1 to 1,200.
            at_least: The probability asked of each phrase, 0 to 1; null takes the checkpoint's own threshold.

        Returns:
            hits, most probable first, none where nothing was found: photo (path of its file in the collection), width
            and height in pixels, date (null where the photo does not say), score, probability (that the photo shows
            all of them; null where the checkpoint has none for searches) and phrases (text, box as x1, y1, x2, y2 in
            pixels, score, probability). Besides: photos in the collection and searched of them, milliseconds, exact,
            at_least, the phrases as they were read (known is false where the model does not know the word), excluded
            (photos left out for what they show besides), skipped (files that could not be indexed, with the reason).
        """
        try:
            return service.search(phrases, without or [], top, at_least)
        except SspeError as error:
            raise gr.Error(str(error), print_exception=False) from None

    phrases = gr.JSON(label="A sentence, or a list of phrases", visible=False)
    without = gr.JSON(label="Phrases that photos must not show; null: none", visible=False)
    top = gr.Number(PAGE, label=f"Photos at most, 1 to {MAX_TILES:,}", precision=0, visible=False)
    at_least = gr.JSON(label="Least probability of each phrase, 0 to 1; null: the checkpoint's own", visible=False)
    found = gr.JSON(label="Photos found", visible=False)
    trigger = gr.Button(visible=False)
    trigger.click(on_gpu(search), [phrases, without, top, at_least], found, api_name="search", **MODEL_EVENTS)
