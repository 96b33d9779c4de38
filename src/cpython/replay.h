/* SPDX-License-Identifier: MIT
 * References of one object that its kind has emitted in its own words, and that tp_traverse visits once more.
 *
 * Each row is a sequence: an array, or the entries of a dict. tp_traverse visits a sequence in its order, though what it visits of
 * another one may come between: so a visit repeats a row if it is of the object that comes next there. Two references come at any time, and
 * once: the materialised dict of an instance, and its class.
 *
 * What has no room would be counted twice. So exceeding the room is an error.
 *
 * Used by the layers proofs and above. */
#ifndef CPY_REPLAY_H
#define CPY_REPLAY_H

#include "cpython/layout.h"

#define CPY_REPLAY_ROWS 8

typedef struct cpy_replayed {
    PyObject *const *items; /* a plain array; ... */
    PyObject *dict;         /* or a dict by PyDict_Next, where tables are not known; or else: */
    cpy_table table;
    Py_ssize_t at, count;
    PyObject *key; /* of the entry that came last, which may come now; or NULL */
    bool backward; /* visited from the end */
} cpy_replayed;

typedef struct cpy_replay {
    bool wanted; /* does tp_traverse come at all? */
    PyObject *dict, *type; /* these two; or NULL */
    uint32_t count;
    cpy_replayed rows[CPY_REPLAY_ROWS];
} cpy_replay;

/* Begin with an object of which nothing has been emitted. */
static inline void cpy_replay_begin(cpy_replay *replay, bool wanted) {
    replay->wanted = wanted;
    replay->dict = replay->type = NULL;
    replay->count = 0;
}

/* These references were emitted; `backward`: tp_traverse visits the array from its end. Does nothing where tp_traverse does not come. MPR_OK
 * or MPR_ELIMIT. */
int cpy_replay_items(cpy_replay *replay, PyObject *const *items, Py_ssize_t count, bool backward);
int cpy_replay_table(cpy_replay *replay, const cpy_table *table);
int cpy_replay_dict(cpy_replay *replay, PyObject *dict);

/* The slow half of cpy_replay_repeats. */
bool cpy_replay_search(cpy_replay *replay, PyObject *target);

/* Does a visit of this object repeat one? Then it is used up. */
static inline bool cpy_replay_repeats(cpy_replay *replay, PyObject *target) {
    return (replay->count > 0 || target == replay->dict || target == replay->type) && cpy_replay_search(replay, target);
}

#endif
