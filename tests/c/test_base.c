/* SPDX-License-Identifier: MIT
 * base/alloc, base/vec and base/addrset: the last against an array of addresses, sorted and searched. */
#include <stdlib.h>
#include <string.h>

#include "base/addrset.h"
#include "base/map.h"
#include "base/status.h"
#include "base/vec.h"
#include "test.h"

/* ---- alloc ---- */

static bool is_zero(const uint8_t *at, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (at[i] != 0) return false;
    return true;
}

static void pages_grow(test *t) {
    mpr_alloc a;
    mpr_alloc_pages(&a);
    void *block = mpr_alloc_array(&a, 10, 1);
    CHECK(t, block != NULL && is_zero(block, 10) && a.used == 10);
    size_t size = 10;
    for (unsigned i = 0; i < 20 && block; i++) {
        size_t wanted = i % 5 == 4 ? size / 3 : size * 3;
        memset(block, 0xAB, size);
        CHECK(t, mpr_alloc_resize(&a, &block, size, wanted, 1) == MPR_OK);
        CHECK(t, ((uint8_t *)block)[wanted < size ? wanted - 1 : size - 1] == 0xAB);
        CHECK(t, wanted <= size || is_zero((uint8_t *)block + size, wanted - size));
        size = wanted;
        CHECK(t, a.used == size && a.peak >= size);
    }
    mpr_alloc_free(&a, block, size, 1);
    CHECK(t, a.used == 0);
}

static void refusals(test *t) {
    mpr_alloc a;
    mpr_alloc_pages(&a);
    CHECK(t, mpr_alloc_array(&a, SIZE_MAX, 2) == NULL);
    CHECK(t, mpr_alloc_array(&a, SIZE_MAX / 2, 1) == NULL);
    void *block = mpr_alloc_array(&a, 0, 24), *same = block;
    CHECK(t, block != NULL && a.used == 24);
    CHECK(t, mpr_alloc_resize(&a, &block, 0, SIZE_MAX / 8, 24) == MPR_ENOMEM && block == same && a.used == 24);
    CHECK(t, mpr_alloc_resize(&a, &block, 0, SIZE_MAX / 2, 1) == MPR_ENOMEM && block == same);
    mpr_alloc_free(&a, block, 0, 24);
    mpr_alloc_free(&a, NULL, 5, 8);
    CHECK(t, a.used == 0);
}

void test_alloc_module(test *t) {
    pages_grow(t);
    refusals(t);
    for (int status = -10; status <= 1; status++) CHECK(t, mpr_status_text(status) != NULL && mpr_status_text(status)[0] != '\0');
}

/* ---- vec ---- */

static bool is_less(const uint64_t *a, const uint64_t *b) { return *a < *b; }

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* As qsort does. */
static void sorts(test *t) {
    uint64_t right[500], items[500];
    uint64_t seed = 11;
    for (size_t count = 0; count < 500; count += count < 40 ? 1 : 23) {
        for (size_t i = 0; i < count; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            right[i] = items[i] = (seed >> 11) % (count % 2 == 0 ? 10 : UINT64_MAX);
        }
        struct { uint64_t *items; size_t count; } v = {items, count};
        qsort(right, count, sizeof *right, by_value);
        mpr_vec_sort(&v, is_less);
        CHECK(t, memcmp(right, items, count * sizeof *right) == 0);
    }
}

void test_vec(test *t) {
    sorts(t);
    for (uint64_t nth = 0; nth < 14; nth++) {
        test_alloc a;
        test_alloc_init(&a);
        a.fail_at = nth;
        MPR_VEC(uint32_t) v = {0};
        int status = MPR_OK;
        for (uint32_t i = 0; i < 3000 && status == MPR_OK; i++) {
            size_t before = v.count;
            status = mpr_vec_push(&v, &a.alloc, i);
            CHECK(t, v.count == before + (status == MPR_OK) && v.count <= v.capacity && (v.items == NULL) == (v.capacity == 0));
        }
        CHECK(t, (status == MPR_ENOMEM) == a.tripped);
        for (uint32_t i = 0; i < v.count; i++) CHECK(t, v.items[i] == i);
        mpr_vec_trim(&v, &a.alloc);
        CHECK(t, v.count <= v.capacity && (v.items == NULL) == (v.capacity == 0));
        CHECK(t, mpr_vec_reserve(&v, &a.alloc, SIZE_MAX / 2) == MPR_ENOMEM);
        CHECK(t, mpr_vec_reserve(&v, &a.alloc, SIZE_MAX) == MPR_ENOMEM);
        mpr_vec_free(&v, &a.alloc);
        CHECK(t, a.live == 0 && a.alloc.used == 0 && a.wrong == 0);
    }
}

/* ---- addrset ---- */

static bool granule_taken(const uint64_t *sorted, size_t count, uint64_t address) {
    uint64_t low = address & ~UINT64_C(15), high = low + 8;
    return bsearch(&low, sorted, count, sizeof low, by_value) || bsearch(&high, sorted, count, sizeof high, by_value);
}

static uint64_t random_address(dice *d) {
    static const uint64_t regions[] = {0x10000, 0x7f0000000000, 0x7fffff000000, UINT64_C(1) << 48};
    return regions[dice_below(d, 4)] + dice_below(d, 1 << 16) * 16 + (dice_chance(d, 10) ? 8 : 0) +
           (dice_chance(d, 30) ? dice_below(d, 40) << MPR_PAGE_SHIFT : 0);
}

/* Add random addresses, remembering in order those that are new. */
static size_t fill(test *t, mpr_addrset *set, dice *d, uint64_t *members, uint32_t *handles, size_t tries) {
    size_t count = 0;
    uint64_t *sorted = malloc(tries * sizeof *sorted);
    for (size_t i = 0; i < tries && sorted; i++) {
        uint64_t address = random_address(d);
        uint32_t handle = 0, again = 0;
        bool taken = granule_taken(sorted, count, address);
        int added = mpr_addrset_add(set, address, &handle);
        CHECK(t, added == !taken);
        CHECK(t, mpr_addrset_has(set, handle) && mpr_addrset_handle(set, address, &again) == MPR_OK && again == handle);
        if (taken) continue;
        members[count] = sorted[count] = address;
        handles[count++] = handle;
        qsort(sorted, count, sizeof *sorted, by_value);
    }
    free(sorted);
    return count;
}

static void compare(test *t, const mpr_addrset *set, dice *d, uint64_t *members, const uint32_t *handles, size_t count) {
    uint8_t *numbers = calloc(count, 1);
    uint32_t number, last_handle = 0, last_number = 0;
    for (size_t i = 0; i < count; i++) {
        CHECK(t, mpr_addrset_address(set, handles[i]) == members[i]);
        number = mpr_addrset_number(set, handles[i]);
        if (CHECK(t, number < count && !numbers[number])) numbers[number] = 1;
        CHECK(t, i == 0 || (handles[i] < last_handle) == (number < last_number));
        last_handle = handles[i];
        last_number = number;
        uint32_t found = UINT32_MAX;
        CHECK(t, mpr_addrset_find(set, members[i], &found) == 1 && found == number);
        CHECK(t, mpr_addrset_find(set, members[i] ^ 8, &found) == 0);
    }
    qsort(members, count, sizeof *members, by_value);
    for (size_t i = 0; i < count; i++) {
        uint64_t address = random_address(d);
        bool in = bsearch(&address, members, count, sizeof address, by_value) != NULL;
        CHECK(t, mpr_addrset_find(set, address, &number) == in);
    }
    free(numbers);
}

static void against_array(test *t, uint64_t seed, size_t tries) {
    test_alloc a;
    mpr_addrset set;
    dice d = {seed};
    test_alloc_init(&a);
    mpr_addrset_init(&set, &a.alloc);
    uint64_t *members = calloc(tries, sizeof *members);
    uint32_t *handles = calloc(tries, sizeof *handles);
    size_t count = fill(t, &set, &d, members, handles, tries);
    CHECK(t, set.members == count);
    CHECK(t, mpr_addrset_rank(&set) == MPR_OK);
    compare(t, &set, &d, members, handles, count);
    mpr_addrset_free(&set);
    CHECK(t, a.live == 0 && a.wrong == 0);
    free(members);
    free(handles);
}

/* A page whose every granule is taken: the last running count is the largest there is. */
static void full_page(test *t) {
    test_alloc a;
    mpr_addrset set;
    uint32_t handle = 0, number = 0;
    test_alloc_init(&a);
    mpr_addrset_init(&set, &a.alloc);
    for (uint64_t i = 0; i < 65536 + 10; i++) CHECK(t, mpr_addrset_add(&set, 0x100000 + i * 16, &handle) == 1);
    CHECK(t, mpr_addrset_rank(&set) == MPR_OK);
    for (uint64_t i = 0; i < 65536 + 10; i += 37) CHECK(t, mpr_addrset_find(&set, 0x100000 + i * 16, &number) == 1 && number == i);
    mpr_addrset_free(&set);
}

/* Pairs of indices are told apart: each is a key that nothing else is compared with. */
static void mixes(test *t) {
    const uint64_t side = t->quick ? 60 : 700;
    test_alloc a;
    test_alloc_init(&a);
    mpr_map map = {.alloc = &a.alloc};
    int made = 1;
    bool all = true;
    for (uint64_t i = 0; i < side; i++)
        for (uint64_t k = 0; k < side; k++) all = all && mpr_map_add(&map, mpr_map_mix(i, k), &made) != NULL && made;
    CHECK(t, all && map.count == side * side);
    mpr_map_free(&map);
}

/* Windows of the bitmap, against single questions. */
static void looks_at_several(test *t) {
    test_alloc a;
    test_alloc_init(&a);
    mpr_addrset set;
    uint32_t handle;
    const uint64_t first = 0x500000, last = first + (2 << MPR_PAGE_SHIFT);
    mpr_addrset_init(&set, &a.alloc);
    CHECK(t, mpr_addrset_three(&set, first) == 0 && mpr_addrset_count(&set, first, 16384) == 0);
    for (uint64_t at = first; at < last; at += 16 * (1 + at % 7)) CHECK(t, mpr_addrset_add(&set, at + (at % 5 == 0 ? 8 : 0), &handle) == 1);
    for (uint64_t at = first - 64; at < last; at += 16) {
        unsigned expected = 0;
        for (unsigned i = 0; i < 3; i++)
            expected |= mpr_addrset_contains(&set, at + 16 * i) || mpr_addrset_contains(&set, at + 16 * i + 8) ? 1u << i : 0;
        CHECK(t, mpr_addrset_three(&set, at) == expected && mpr_addrset_three_slowly(&set, at) == expected);
    }
    for (uint32_t bytes = 1024; bytes <= 65536; bytes *= 4) {
        uint64_t sum = 0;
        for (uint64_t at = first - (1 << MPR_PAGE_SHIFT); at < last + (1 << MPR_PAGE_SHIFT); at += bytes)
            sum += mpr_addrset_count(&set, at, bytes);
        CHECK(t, sum == set.members);
    }
    mpr_addrset_free(&set);
}

static void set_without_memory(test *t) {
    for (uint64_t nth = 1; nth < 40; nth++) {
        test_alloc a;
        mpr_addrset set;
        uint32_t handle = 0;
        int status = 1;
        test_alloc_init(&a);
        a.fail_at = nth;
        mpr_addrset_init(&set, &a.alloc);
        for (uint64_t i = 0; i < 200 && status == 1; i++)
            status = mpr_addrset_add(&set, (i << MPR_PAGE_SHIFT) + (i % 7 == 0 ? 8 : 0), &handle);
        CHECK(t, (status == MPR_ENOMEM) == a.tripped);
        mpr_addrset_free(&set);
        CHECK(t, a.live == 0 && a.wrong == 0);
    }
}

/* One page more than handles can name. */
static void too_many_pages(test *t) {
    mpr_alloc a;
    mpr_addrset set;
    uint32_t handle = 0;
    int status = MPR_OK;
    mpr_alloc_pages(&a);
    mpr_addrset_init(&set, &a);
    for (uint64_t i = 0; i < MPR_PAGE_MAX && status == MPR_OK; i++) status = mpr_addrset_handle(&set, i << MPR_PAGE_SHIFT, &handle);
    CHECK(t, status == MPR_OK && set.number.count == MPR_PAGE_MAX);
    CHECK(t, mpr_addrset_handle(&set, (uint64_t)MPR_PAGE_MAX << MPR_PAGE_SHIFT, &handle) == MPR_ELIMIT);
    CHECK(t, mpr_addrset_handle(&set, 16, &handle) == MPR_OK);
    mpr_addrset_free(&set);
    CHECK(t, a.used == 0);
}

void test_addrset(test *t) {
    mixes(t);
    looks_at_several(t);
    for (uint64_t seed = 1; seed <= (t->quick ? 1 : 6); seed++) against_array(t, seed, t->quick ? 300 : 1500);
    if (!t->quick) {
        full_page(t);
        too_many_pages(t);
    }
    set_without_memory(t);
}
