/* SPDX-License-Identifier: MIT
 * A list of runs, sorted once. */
#include "native/slots.h"

#define HIGHEST (UINT64_C(1) << 47)

int mpr_slots_add(mpr_slots *s, uint64_t begin, uint64_t slot, uint64_t count) {
    bool sound = slot >= MPR_SLOTS_UNIT && slot % MPR_SLOTS_UNIT == 0 && begin % MPR_SLOTS_UNIT == 0 && begin < HIGHEST &&
                 count > 0 && count <= (HIGHEST - begin) / slot;
    return s->alloc == NULL || !sound ? MPR_OK
                                      : mpr_vec_push(&s->run, s->alloc, ((mpr_slots_run){begin, begin + slot * count, slot}));
}

static bool is_before(const mpr_slots_run *a, const mpr_slots_run *b) { return a->begin < b->begin; }

void mpr_slots_finish(mpr_slots *s) {
    mpr_slots_run *run = s->run.items;
    size_t count = 0;
    mpr_vec_sort(&s->run, is_before);
    for (size_t i = 0; i < s->run.count; i++) {
        if (count == 0 || run[i].begin >= run[count - 1].end) {
            run[count++] = run[i];
        }
    }
    s->run.count = count;
}

const mpr_slots_run *mpr_slots_find(const mpr_slots *s, uint64_t address) {
    size_t at;
    mpr_vec_bisect(&s->run, address, &at);
    return at < s->run.count && s->run.items[at].begin <= address ? &s->run.items[at] : NULL;
}

void mpr_slots_free(mpr_slots *s) {
    if (s->alloc != NULL) {
        mpr_vec_free(&s->run, s->alloc);
    }
}
