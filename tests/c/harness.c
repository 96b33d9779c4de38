/* SPDX-License-Identifier: MIT
 * Checks, the generator, and the allocator that can fail. */
#define _GNU_SOURCE 1
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "test.h"

int test_check(test *t, int condition, const char *text, const char *file, int line) {
    if (condition) {
        t->passed++;
        return 1;
    }
    t->failed++;
    if (t->failed <= 20) fprintf(stderr, "%s:%d: %s: failed: %s\n", file, line, t->name, text);
    return 0;
}

bool test_has_glibc(void) {
    static enum { UNKNOWN, YES, NO } known; /* asked once: a block more touches pages of a sanitizer's, which accounts would count */
    if (known == UNKNOWN) {
        void *volatile block = malloc(1000); /* else the compiler leaves it out */
        struct mallinfo2 info = mallinfo2();
        free(block);
        known = info.uordblks >= 1000 ? YES : NO;
    }
    return known == YES;
}

void *test_pages(size_t size) {
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block == MAP_FAILED ? NULL : block;
}

uint64_t dice_next(dice *d) {
    uint64_t z = d->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

uint64_t dice_below(dice *d, uint64_t limit) { return dice_next(d) % limit; }

bool dice_chance(dice *d, unsigned percent) { return dice_below(d, 100) < percent; }

/* Each block carries its size in front, and is laid so that a byte too far is one past malloc's. */
#define FRONT 16

static bool refuses(test_alloc *a, size_t old_size, size_t size) {
    a->calls++;
    bool over = a->limit != 0 && a->alloc.used - old_size + size > a->limit;
    if (over || (a->fail_at != 0 && (a->calls == a->fail_at || (a->sticky && a->calls > a->fail_at)))) {
        a->tripped = true;
        return true;
    }
    return false;
}

static void *resize(mpr_alloc *self, void *old, size_t old_size, size_t size) {
    test_alloc *a = (test_alloc *)self;
    uint8_t *front = old ? (uint8_t *)old - FRONT : NULL;
    size_t known = 0;
    if (front) memcpy(&known, front, sizeof known);
    a->wrong += known != old_size;
    if (size > 0 && refuses(a, old_size, size)) return NULL;
    uint8_t *block = NULL;
    if (size > 0) {
        block = calloc(1, FRONT + size);
        if (!block) return NULL;
        memcpy(block, &size, sizeof size);
        if (front) memcpy(block + FRONT, old, known < size ? known : size);
    }
    free(front);
    a->live += (size > 0) - (uint64_t)(front != NULL);
    self->used += size - known;
    self->peak = self->used > self->peak ? self->used : self->peak;
    return block ? block + FRONT : NULL;
}

void test_alloc_init(test_alloc *a) { *a = (test_alloc){.alloc = {.resize = resize}}; }
