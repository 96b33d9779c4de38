/* SPDX-License-Identifier: MIT
 * Places in memory as the text of one fact: "pages:number:number pages:number ...", hexadecimal: where each place begins, in pages from the one
 * before it, and what is known of it (docs/FORMAT.md, "Facts"). */
#ifndef MPR_NATIVE_PLACES_H
#define MPR_NATIVE_PLACES_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "graph/sink.h"

#define MPR_PLACES_PAGE UINT64_C(4096)

/* {.text.alloc = ...}: none yet. */
typedef struct mpr_places {
    mpr_buffer text;
    uint64_t last;
} mpr_places;

/* Places begin on page boundaries and come in ascending order. */
void mpr_places_add(mpr_places *places, uint64_t begin, const uint64_t *numbers, size_t count);

/* Emit the fact, if there is any place, and give the text back. A status: that of the text, too. */
int mpr_places_emit(mpr_places *places, mpr_sink *sink, const char *key);

#endif
