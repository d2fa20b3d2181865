"""The one way in which an embedded start fails: with a sentence for the person at the terminal."""


class EmbeddedError(Exception):
    """The embedded servers cannot start; the text says why and what to do, in one sentence."""
