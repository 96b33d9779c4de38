/* SPDX-License-Identifier: MIT
 * base/workset: every address that is marked is given exactly once, whenever it is marked, and skipped ones never; and graph/tally, which
 * counts what a walk tells. */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/workset.h"
#include "graph/tally.h"
#include "test.h"

#define REGION 0x7f0000000000u
#define PLACES 4096u /* granules in play, spread over pages */

static uint64_t place_address(uint32_t place) {
    return REGION + ((uint64_t)(place % 7) << MPR_PAGE_SHIFT) + (uint64_t)place * 16 + (place % 13 == 0 ? 8 : 0);
}

enum { UNKNOWN, MARKED, GIVEN, SKIPPED, PUT_OFF };

static void mark_random(test *t, mpr_workset *w, dice *d, uint8_t *state) {
    uint32_t place = (uint32_t)dice_below(d, PLACES);
    bool skip = dice_chance(d, 5);
    uint64_t address = place_address(place);
    CHECK(t, mpr_workset_has(w, address) == (state[place] != UNKNOWN));
    int added = skip ? mpr_workset_skip(w, address) : mpr_workset_mark(w, address);
    CHECK(t, added == (state[place] == UNKNOWN));
    if (added == 1) state[place] = skip ? SKIPPED : MARKED;
}

static uint32_t place_of(uint64_t address) { return (uint32_t)((address - REGION) >> 4) % 65536; }

/* Take some and mark a few more for each, as a walk does, until nothing is left. */
static void walks(test *t, uint64_t seed) {
    uint8_t *state = calloc(PLACES, 1);
    test_alloc a;
    mpr_workset w;
    dice d = {seed};
    uint64_t addresses[8], left = 20000;
    test_alloc_init(&a);
    mpr_workset_init(&w, &a.alloc);
    mark_random(t, &w, &d, state);
    for (size_t count; (count = mpr_workset_take(&w, addresses, 1 + dice_below(&d, 8))) > 0;) {
        for (size_t i = 0; i < count; i++) {
            uint32_t place = place_of(addresses[i]);
            if (CHECK(t, place < PLACES && place_address(place) == addresses[i] && state[place] == MARKED)) {
                bool later = dice_chance(&d, 6);
                CHECK(t, !later || mpr_workset_put_off(&w, addresses[i]) == MPR_OK);
                state[place] = later ? PUT_OFF : GIVEN;
            }
            for (uint64_t n = dice_below(&d, 4); n > 0 && left > 0; n--, left--) mark_random(t, &w, &d, state);
        }
    }
    for (uint32_t place = 0; place < PLACES; place++) CHECK(t, state[place] != MARKED);
    CHECK(t, mpr_workset_take(&w, addresses, 8) == 0);
    mpr_workset_resume(&w);
    while (mpr_workset_take(&w, addresses, 1) == 1) {
        uint32_t place = place_of(addresses[0]);
        if (CHECK(t, place < PLACES && state[place] == PUT_OFF)) state[place] = GIVEN;
    }
    for (uint32_t place = 0; place < PLACES; place++) CHECK(t, state[place] != PUT_OFF);
    mpr_workset_free(&w);
    CHECK(t, a.live == 0 && a.wrong == 0);
    free(state);
}

/* Of a page and a half all are put off: more than are kept as a list. Without memory for one it says so. */
static void puts_off_many(test *t, uint64_t fail_at) {
    enum { COUNT = 6000 };
    test_alloc a;
    mpr_workset w;
    uint64_t address = 0, given = 0;
    int status = MPR_OK;
    test_alloc_init(&a);
    mpr_workset_init(&w, &a.alloc);
    for (uint64_t i = 0; i < COUNT; i++) CHECK(t, mpr_workset_mark(&w, REGION + i * 256) == 1);
    a.calls = 0, a.fail_at = fail_at, a.tripped = false;
    while (status == MPR_OK && mpr_workset_take(&w, &address, 1) == 1) status = mpr_workset_put_off(&w, address);
    CHECK(t, (status == MPR_ENOMEM) == a.tripped);
    if (status == MPR_OK) {
        mpr_workset_resume(&w);
        for (; mpr_workset_take(&w, &address, 1) == 1; given++) CHECK(t, address == REGION + given * 256);
        CHECK(t, given == COUNT);
    }
    mpr_workset_free(&w);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* A chain that runs backwards through pages, each member known only when the one above it is given. */
static void backwards(test *t, uint64_t count) {
    mpr_alloc a;
    mpr_workset w;
    uint64_t address, given = 0, base = UINT64_C(1) << 40;
    mpr_alloc_pages(&a);
    mpr_workset_init(&w, &a);
    CHECK(t, mpr_workset_mark(&w, base + count * 32) == 1);
    while (mpr_workset_take(&w, &address, 1) == 1) {
        given++;
        if (address > base + 32) CHECK(t, mpr_workset_mark(&w, address - 32) == 1);
    }
    CHECK(t, given == count);
    mpr_workset_free(&w);
    CHECK(t, a.used == 0);
}

static void set_without_memory(test *t) {
    bool tripped = true;
    for (uint64_t nth = 1; tripped; nth++) {
        test_alloc a;
        mpr_workset w;
        uint64_t address;
        int status = 1;
        test_alloc_init(&a);
        a.fail_at = nth;
        mpr_workset_init(&w, &a.alloc);
        for (uint64_t page = 0; page < 150 && status == 1; page++) status = mpr_workset_mark(&w, page << MPR_PAGE_SHIFT);
        CHECK(t, (status == MPR_ENOMEM) == a.tripped);
        while (status == 1 && mpr_workset_take(&w, &address, 1) == 1) continue;
        mpr_workset_free(&w);
        CHECK(t, a.live == 0 && a.wrong == 0);
        tripped = a.tripped;
    }
}

/* ---- tally ---- */

static int tell_few(mpr_sink *sink) {
    static const mpr_seen_type types[] = {{.name = "dict", .name_length = 4}, {.name = "memprobe.Heap", .name_length = 13}};
    static const mpr_seen_node nodes[] = {{.address = 16, .size = 64},
                                          {.address = 32, .size = 100},
                                          {.address = 48, .size = 7, .type = 1},
                                          {.address = MPR_SYNTHETIC, .size = 1, .flags = MPR_NODE_SYNTHETIC}};
    int status = MPR_OK;
    for (unsigned i = 0; i < 2 && status == MPR_OK; i++) status = sink->type(sink, &types[i]);
    for (unsigned i = 0; i < 4 && status == MPR_OK; i++) status = sink->node(sink, &nodes[i]);
    return status;
}

static bool tally_with(test *t, uint64_t nth) {
    test_alloc a;
    mpr_tally tally;
    test_alloc_init(&a);
    a.fail_at = nth;
    mpr_tally_init(&tally, &a.alloc);
    int status = tell_few(&tally.sink);
    CHECK(t, (status == MPR_ENOMEM) == a.tripped);
    if (status == MPR_OK) {
        CHECK(t, tally.objects == 2 && tally.bytes == 164 && tally.rows.count == 2);
        CHECK(t, tally.rows.items[0].count == 2 && tally.rows.items[0].bytes == 164 && tally.rows.items[1].count == 0);
        CHECK(t, strcmp(tally.names.items + tally.rows.items[0].name, "dict") == 0);
        CHECK(t, strcmp(tally.names.items + tally.rows.items[1].name, "memprobe.Heap") == 0);
    }
    mpr_tally_free(&tally);
    CHECK(t, a.live == 0 && a.wrong == 0);
    return a.tripped;
}

void test_workset(test *t) {
    for (uint64_t nth = 0; nth < 12; nth++) puts_off_many(t, nth);
    for (uint64_t seed = 1; seed <= (t->quick ? 1u : 50u); seed++) walks(t, seed);
    backwards(t, t->quick ? 1000 : 200000);
    set_without_memory(t);
    for (uint64_t nth = 1; tally_with(t, nth); nth++) continue;
}
