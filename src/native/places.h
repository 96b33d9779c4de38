/* SPDX-License-Identifier: MIT
 * Places in memory as the text of one fact: "pages:number:number pages:number ...", hexadecimal: where each place begins, in pages from the one
 * before it, and what is known of it (docs/FORMAT.md, "Facts"). */
#ifndef MPR_NATIVE_PLACES_H
#define MPR_NATIVE_PLACES_H

#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "graph/sink.h"

#define MPR_PLACES_PAGE UINT64_C(4096)
#define MPR_PLACES_NUMBERS 2 /* that a place has at most */

typedef struct mpr_places {
    mpr_alloc *alloc;
    char *text;
    size_t room, length;
    uint64_t last;
} mpr_places;

/* Room for `count` places. MPR_OK or MPR_ENOMEM. */
int mpr_places_begin(mpr_places *places, mpr_alloc *alloc, size_t count);

/* Places begin on page boundaries and come in ascending order. */
void mpr_places_add(mpr_places *places, uint64_t begin, const uint64_t *numbers, size_t count);

/* Emit the fact, if there is any place, and give the text back. A status. */
int mpr_places_emit(mpr_places *places, mpr_sink *sink, const char *key);

#endif
