"""Metadata in a WeakKeyDictionary, whose values refer to their own keys: no key ever dies."""

import weakref
from collections.abc import Callable


class Document:
    def __init__(self, title: str) -> None:
        self.title = title


class Metadata:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.tags = [document.title, "new"]


metadata: "weakref.WeakKeyDictionary[Document, Metadata]" = weakref.WeakKeyDictionary()


def main(checkpoint: Callable[[], None]) -> None:
    for number in range(8_000):
        document = Document(f"page {number}")
        metadata[document] = Metadata(document)
    checkpoint()
