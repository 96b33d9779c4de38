/* SPDX-License-Identifier: MIT
 * Text without stdio, for a forked child. */
#include "native/places.h"

#include "base/status.h"

void mpr_places_add(mpr_places *places, uint64_t begin, const uint64_t *numbers, size_t count) {
    mpr_buffer *text = &places->text;
    if (text->size > 0) {
        mpr_buffer_byte(text, ' ');
    }
    mpr_buffer_hex(text, (begin - places->last) / MPR_PLACES_PAGE);
    for (size_t i = 0; i < count; i++) {
        mpr_buffer_byte(text, ':');
        mpr_buffer_hex(text, numbers[i]);
    }
    places->last = begin;
}

int mpr_places_emit(mpr_places *places, mpr_sink *sink, const char *key) {
    const mpr_buffer *text = &places->text;
    int status = text->status;
    if (status == MPR_OK && text->size > 0) {
        status = sink->info(sink, &(mpr_seen_info){.key = key, .text = (const char *)text->data, .length = text->size});
    }
    mpr_buffer_free(&places->text);
    return status;
}
