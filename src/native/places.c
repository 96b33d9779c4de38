/* SPDX-License-Identifier: MIT
 * Text without stdio, for a forked child. */
#include "native/places.h"

#include "base/status.h"

#define DIGITS 16 /* of a number at most */
#define ENTRY_MOST ((DIGITS + 1) * (1 + MPR_PLACES_NUMBERS))

int mpr_places_begin(mpr_places *places, mpr_alloc *alloc, size_t count) {
    *places = (mpr_places){.alloc = alloc, .room = ENTRY_MOST * count};
    places->text = mpr_alloc_array(alloc, places->room, 1);
    return places->text == NULL ? MPR_ENOMEM : MPR_OK;
}

static void put_hex(mpr_places *places, uint64_t number) {
    char digits[DIGITS];
    size_t count = 0;
    do {
        digits[count++] = "0123456789abcdef"[number & 15];
        number >>= 4;
    } while (number > 0);
    while (count > 0) {
        places->text[places->length++] = digits[--count];
    }
}

void mpr_places_add(mpr_places *places, uint64_t begin, const uint64_t *numbers, size_t count) {
    put_hex(places, (begin - places->last) / MPR_PLACES_PAGE);
    for (size_t i = 0; i < count; i++) {
        places->text[places->length++] = ':';
        put_hex(places, numbers[i]);
    }
    places->text[places->length++] = ' ';
    places->last = begin;
}

int mpr_places_emit(mpr_places *places, mpr_sink *sink, const char *key) {
    int status = MPR_OK;
    if (places->length > 0) {
        status = sink->info(sink, &(mpr_seen_info){.key = key, .text = places->text, .length = places->length - 1});
    }
    mpr_alloc_free(places->alloc, places->text, places->room, 1);
    return status;
}
