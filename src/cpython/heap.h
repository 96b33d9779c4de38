/* SPDX-License-Identifier: MIT
 * The objects that the collector tracks: the only place that knows how an interpreter's are found. Everything that walks the heap begins
 * with cpy_heap_each.
 *
 * Used by the layers proofs and above. */
#ifndef CPY_HEAP_H
#define CPY_HEAP_H

#include "cpython/proofs.h"

#define CPY_HEAP_PERMANENT 3 /* the generation of frozen objects (gc.freeze), beside 0, 1 and 2 */

typedef struct cpy_heap {
    bool has_lists;   /* the collector's lists are known; else: */
    PyObject *listed; /* what gc.get_objects() has, without frozen objects */
} cpy_heap;

/* Where the lists are not known, asks the interpreter: before a walk, never in a forked child. The list of the objects is itself no object of the
 * heap. MPR_OK, or MPR_ENOMEM; ended in any case. */
int cpy_heap_begin(cpy_heap *heap, const cpy_proofs *proofs);
void cpy_heap_end(cpy_heap *heap);

/* A tracked object, in its generation. Anything but 0 ends the visits. */
typedef int (*cpy_heap_visit)(void *context, PyObject *object, int generation, bool from_young);

/* Visit each tracked object of the current interpreter once. They come from both ends of their order of age in turn: the oldest first (the permanent
 * generation, then 2, 1, 0), and with `from_young` the youngest first, until the two meet. So both chains of cache misses are under way
 * at once. While a collection runs, and where the lists are not known, all come from the old end. The visit must not run Python. Returns what the last
 * visit returned. */
int cpy_heap_each(const cpy_heap *heap, cpy_heap_visit visit, void *context);

/* What the interpreter's own heaps have in memory, in a pause of its own; false, where there are none or they are not known: it has pools. */
bool cpy_heap_measure(const cpy_proofs *proofs, cpy_heaps_total *out);

/* Are the lists what they should be, with this object on one of them? For the self-check. */
bool cpy_heap_prove(const PyObject *wanted);

#endif
