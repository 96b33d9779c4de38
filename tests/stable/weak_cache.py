"""A WeakValueDictionary of documents, which live as long as one of the 1,000 readers has them open."""

import time
import weakref


class Document:
    def __init__(self, number: int) -> None:
        self.title = f"document {number:08}"
        self.lines = [self.title, f"text {number:08}"]


documents: "weakref.WeakValueDictionary[str, Document]" = weakref.WeakValueDictionary()
readers: list[Document] = []


def read(number: int, pause: float) -> None:
    document = Document(number)
    documents[document.title] = document
    if len(readers) < 1_000:
        readers.append(document)
    else:
        readers[number % 1_000] = document
    time.sleep(pause)


number = 0
while number < 10_000:
    read(number, 0)
    number += 1
print("warm", flush=True)
while True:
    read(number, 0.001)
    number += 1
