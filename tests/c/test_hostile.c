/* SPDX-License-Identifier: MIT
 * The snapshot reader against files that lie: cut at every byte, changed at every byte with the sums left wrong and with the sums made right
 * again, foreign sections, newer versions, and what the reader may reserve. */
#include <string.h>

#include "base/status.h"
#include "format/reader.h"
#include "format/shapes.h"
#include "graph/graph.h"
#include "test.h"

/* ---- a sink that believes everything and keeps nothing ---- */

static int any_type(mpr_sink *s, const mpr_seen_type *x) { return (void)s, (void)x, MPR_OK; }
static int any_node(mpr_sink *s, const mpr_seen_node *x) { return (void)s, (void)x, MPR_OK; }
static int any_edges(mpr_sink *s, const mpr_seen_edge *x, size_t n) { return (void)s, (void)x, (void)n, MPR_OK; }
static int any_text(mpr_sink *s, const char *x, size_t n) { return (void)s, (void)x, (void)n, MPR_OK; }
static int any_digest(mpr_sink *s, uint64_t n, const mpr_digest *x) { return (void)s, (void)n, (void)x, MPR_OK; }
static int any_info(mpr_sink *s, const mpr_seen_info *x) { return (void)s, (void)x, MPR_OK; }

/* Read into nothing, within the memory that the reader may have. */
static int read_alone(test *t, const uint8_t *file, size_t size, mpr_read_report *report) {
    mpr_sink sink = {any_type, any_node, any_edges, any_text, any_info, any_digest, false};
    test_alloc a;
    test_alloc_init(&a);
    int status = mpr_read(file, size, &sink, &a.alloc, NULL, NULL, report);
    CHECK(t, a.live == 0 && a.wrong == 0 && a.alloc.peak <= 64 * size + (16u << 20));
    CHECK(t, (status == MPR_OK && !report->cut) == (report->message == NULL) && report->offset <= size);
    return status;
}

/* Read into a builder and freeze: whatever the file says, what comes out is sound. */
static int read_to_graph(test *t, const uint8_t *file, size_t size, bool *cut) {
    mpr_builder *b = NULL;
    mpr_graph *g = NULL;
    mpr_read_report report;
    test_alloc a;
    test_alloc_init(&a);
    a.limit = (size_t)64 << 20;
    if (!CHECK(t, mpr_builder_new(&b, &a.alloc) == MPR_OK)) return MPR_ENOMEM;
    int status = mpr_read(file, size, mpr_builder_sink(b), &a.alloc, NULL, NULL, &report);
    *cut = report.cut;
    if (status == MPR_OK) {
        int frozen = mpr_builder_freeze(b, &g);
        CHECK(t, frozen == MPR_OK || (frozen == MPR_ENOMEM && a.tripped));
        CHECK(t, frozen != MPR_OK || mpr_graph_check(g) == NULL);
        if (frozen == MPR_OK) mpr_graph_free(g);
    }
    mpr_builder_free(b);
    CHECK(t, a.live == 0 && a.wrong == 0);
    return status;
}

/* ---- files to spoil ---- */

typedef struct sample {
    test_alloc a;
    uint8_t *file, *copy;
    size_t size;
} sample;

static bool sample_make(test *t, sample *s, const heap_shape *shape) {
    test_alloc_init(&s->a);
    s->file = snapshot_make(&s->a.alloc, 11, shape, &s->size);
    s->copy = mpr_alloc_array(&s->a.alloc, s->size + 64, 1);
    return CHECK(t, s->file != NULL && s->copy != NULL);
}

static void sample_free(test *t, sample *s) {
    mpr_alloc_free(&s->a.alloc, s->file, s->size, 1);
    mpr_alloc_free(&s->a.alloc, s->copy, s->size + 64, 1);
    CHECK(t, s->a.live == 0);
}

static uint32_t get_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void set_u32(uint8_t *at, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * i);
}

static void seal_frame(uint8_t *frame, uint32_t length) {
    set_u32(frame + 4, length);
    set_u32(frame + 8, mpr_bytes_crc(0, frame + DISK_FRAME, length));
    set_u32(frame + 12, mpr_bytes_crc(0, frame, DISK_FRAME - 4));
}

/* Make all sums right, as far as lengths lead. */
static void reseal(uint8_t *file, size_t size) {
    set_u32(file + DISK_HEADER - 4, mpr_bytes_crc(0, file, DISK_HEADER - 4));
    for (size_t at = DISK_HEADER; at + DISK_FRAME <= size;) {
        uint32_t length = get_u32(file + at + 4);
        if (length > size - at - DISK_FRAME) return;
        seal_frame(file + at, length);
        at += DISK_FRAME + length;
    }
}

/* ---- accidents ---- */

static void cut_everywhere(test *t, sample *s) {
    for (size_t size = 0; size < s->size; size += t->quick ? 31 : 1) {
        mpr_read_report report;
        bool cut = false;
        int status = read_alone(t, s->file, size, &report);
        CHECK(t, status == (size < DISK_HEADER ? MPR_EFORMAT : MPR_OK));
        CHECK(t, report.cut == (size >= DISK_HEADER));
        CHECK(t, read_to_graph(t, s->file, size, &cut) == status && cut == report.cut);
    }
}

static void flipped_everywhere(test *t, sample *s) {
    for (size_t at = 0; at < s->size; at += t->quick ? 31 : 1)
        for (unsigned bit = 0; bit < 8; bit += t->quick ? 3 : 1) {
            mpr_read_report report;
            memcpy(s->copy, s->file, s->size);
            s->copy[at] ^= (uint8_t)(1u << bit);
            int status = read_alone(t, s->copy, s->size, &report);
            CHECK(t, status == MPR_EFORMAT || status == MPR_EVERSION);
        }
}

/* ---- intent ---- */

static const uint8_t values[] = {0, 1, 2, 3, 127, 128, 255};

static void spoilt_everywhere(test *t, sample *s) {
    bool cut;
    for (size_t at = 8; at < s->size; at += t->quick ? 37 : 1)
        for (size_t i = 0; i < sizeof values; i++) {
            mpr_read_report report;
            memcpy(s->copy, s->file, s->size);
            s->copy[at] = values[i];
            reseal(s->copy, s->size);
            read_alone(t, s->copy, s->size, &report);
            read_to_graph(t, s->copy, s->size, &cut);
        }
}

/* Several bytes at once, at random. */
static void spoilt_at_random(test *t, sample *s, uint64_t rounds) {
    dice d = {5};
    bool cut;
    for (uint64_t round = 0; round < rounds; round++) {
        mpr_read_report report;
        memcpy(s->copy, s->file, s->size);
        for (uint64_t n = 1 + dice_below(&d, 4); n > 0; n--) s->copy[dice_below(&d, s->size)] = (uint8_t)dice_next(&d);
        memcpy(s->copy, s->file, 12);
        reseal(s->copy, s->size);
        read_alone(t, s->copy, s->size, &report);
        read_to_graph(t, s->copy, s->size, &cut);
    }
}

/* The length of the file without its footer. */
static size_t before_footer(const sample *s) {
    size_t at = DISK_HEADER;
    while (get_u32(s->file + at) != DISK_FOOTER) at += DISK_FRAME + get_u32(s->file + at + 4);
    return at;
}

/* A section of a kind that nobody knows, before the end. */
static void foreign_section(test *t, sample *s, uint32_t kind, int expected) {
    mpr_read_report report;
    size_t at = before_footer(s);
    memcpy(s->copy, s->file, at);
    set_u32(s->copy + at, kind);
    memcpy(s->copy + at + DISK_FRAME, "abc", 3);
    seal_frame(s->copy + at, 3);
    CHECK(t, read_alone(t, s->copy, at + DISK_FRAME + 3, &report) == expected && (expected != MPR_OK || report.cut));
}

static void foreign(test *t, sample *s) {
    mpr_read_report report;
    foreign_section(t, s, DISK_KIND('x', 'X', 'X', 'X'), MPR_OK);
    foreign_section(t, s, DISK_KIND('X', 'X', 'X', 'X'), MPR_EVERSION);
    memcpy(s->copy, s->file, s->size);
    s->copy[s->size] = 0;
    CHECK(t, read_alone(t, s->copy, s->size + 1, &report) == MPR_EFORMAT && report.offset == s->size);
    set_u32(s->copy + 8, DISK_VERSION + 1);
    CHECK(t, read_alone(t, s->copy, s->size, &report) == MPR_EVERSION);
    CHECK(t, read_alone(t, NULL, 0, &report) == MPR_EFORMAT);
    CHECK(t, read_alone(t, (const uint8_t *)"%PDF-1.4, and some more bytes than a header has", 47, &report) == MPR_EFORMAT);
}

/* Two sections in the wrong order or one twice. */
static void rearranged(test *t, sample *s) {
    mpr_read_report report;
    size_t first = DISK_HEADER, length = DISK_FRAME + get_u32(s->file + first + 4), second = first + length;
    size_t other = DISK_FRAME + get_u32(s->file + second + 4);
    memcpy(s->copy, s->file, s->size);
    memcpy(s->copy + first, s->file + second, other);
    memcpy(s->copy + first + other, s->file + first, length);
    CHECK(t, read_alone(t, s->copy, s->size, &report) == MPR_EFORMAT);
    memcpy(s->copy, s->file, s->size);
    memmove(s->copy + first, s->copy + second, s->size - second);
    CHECK(t, read_alone(t, s->copy, s->size - length, &report) == MPR_EFORMAT);
}

void test_hostile(test *t) {
    heap_shape small = {.nodes = 14, .types = 4, .edges = 3, .hashed = true};
    heap_shape wild = {.nodes = 120, .types = 6, .edges = 5, .wild = true, .hashed = true, .native = true};
    sample s;
    if (sample_make(t, &s, &small)) {
        cut_everywhere(t, &s);
        flipped_everywhere(t, &s);
        spoilt_everywhere(t, &s);
        foreign(t, &s);
        rearranged(t, &s);
    }
    sample_free(t, &s);
    if (sample_make(t, &s, &wild)) spoilt_at_random(t, &s, t->quick ? 20 : 3000);
    sample_free(t, &s);
}
