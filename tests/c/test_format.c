/* SPDX-License-Identifier: MIT
 * The snapshot file, honest: what is read is what was written, however it is cut into blocks; writers that fail at every byte and without
 * memory; a graph saved and loaded is the same graph. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/os/file.h"
#include "base/status.h"
#include "format/reader.h"
#include "format/writer.h"
#include "graph/graph.h"
#include "test.h"

static void round_trip(test *t, uint64_t seed, const heap_shape *shape) {
    test_alloc a;
    tape told, read;
    mpr_read_report report;
    size_t size = 0;
    test_alloc_init(&a);
    tape_init(&told, &a.alloc);
    tape_init(&read, &a.alloc);
    uint8_t *file = snapshot_make(&a.alloc, seed, shape, &size);
    CHECK(t, heap_tell(seed, shape, &told.sink) == MPR_OK);
    if (CHECK(t, file != NULL)) {
        CHECK(t, mpr_read(file, size, &read.sink, &a.alloc, NULL, NULL, &report) == MPR_OK);
        CHECK(t, !report.cut && report.message == NULL && report.offset == size);
        CHECK(t, report.nodes == told.node_count && report.edges == told.edge_count);
        tape_end(&told);
        tape_end(&read);
        CHECK(t, tape_equal(&told, &read));
    }
    mpr_alloc_free(&a.alloc, file, size, 1);
    tape_free(&told);
    tape_free(&read);
    CHECK(t, a.live == 0 && a.alloc.used == 0 && a.wrong == 0);
}

static mpr_graph *load(mpr_alloc *alloc, const uint8_t *file, size_t size) {
    mpr_builder *b;
    mpr_graph *g = NULL;
    mpr_read_report report;
    if (mpr_builder_new(&b, alloc) != MPR_OK) return NULL;
    if (mpr_read(file, size, mpr_builder_sink(b), alloc, NULL, NULL, &report) != MPR_OK || mpr_builder_freeze(b, &g) != MPR_OK)
        g = NULL;
    mpr_builder_free(b);
    return g;
}

/* Save a graph to fd. */
static int save(mpr_alloc *alloc, const mpr_graph *g, int fd) {
    mpr_writer *w;
    int status = mpr_writer_new(&w, alloc, fd);
    if (status != MPR_OK) return status;
    status = mpr_graph_tell(g, mpr_writer_sink(w));
    int finished = mpr_writer_finish(w);
    mpr_writer_free(w);
    return status == MPR_OK ? finished : status;
}

static void saved_is_loaded(test *t, uint64_t seed, const heap_shape *shape) {
    test_alloc a;
    const uint8_t *map = NULL;
    size_t size = 0;
    test_alloc_init(&a);
    mpr_graph *g = graph_make(&a.alloc, seed, shape);
    int fd = file_nameless();
    if (CHECK(t, g != NULL && fd >= 0 && save(&a.alloc, g, fd) == MPR_OK && mpr_file_map(fd, &map, &size) == MPR_OK)) {
        mpr_graph *again = load(&a.alloc, map, size);
        CHECK(t, again != NULL && mpr_graph_check(again) == NULL);
        CHECK(t, again != NULL && graph_difference(g, again) == NULL);
        mpr_graph_free(again);
        mpr_file_unmap(map, size);
    }
    close(fd);
    mpr_graph_free(g);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* One node with more edges than a block, between two others; its text stands behind all of them. */
static int tell_giant(mpr_sink *sink, uint64_t edges) {
    mpr_seen_type type = {.name = "list", .name_length = 4};
    int status = sink->type(sink, &type);
    for (uint64_t i = 0; i < 3 && status == MPR_OK; i++) {
        mpr_seen_node node = {.address = 4096 + 64 * i, .size = 64, .refcount = 1, .flags = MPR_NODE_TRACKED};
        status = sink->node(sink, &node);
        for (uint64_t k = 0; k < (i == 1 ? edges : 2) && status == MPR_OK; k++) {
            mpr_seen_edge edge = {4096 + 64 * (k * k % 3), mpr_label_make(MPR_LABEL_INDEX, k)};
            status = sink->edges(sink, &edge, 1);
        }
        if (status == MPR_OK) status = sink->text(sink, "text", 4);
    }
    return status;
}

static void giant_node(test *t, uint64_t edges) {
    test_alloc a;
    tape told, read;
    mpr_writer *w = NULL;
    mpr_read_report report;
    const uint8_t *map = NULL;
    size_t size = 0;
    int fd = file_nameless();
    test_alloc_init(&a);
    tape_init(&told, &a.alloc);
    tape_init(&read, &a.alloc);
    CHECK(t, tell_giant(&told.sink, edges) == MPR_OK && mpr_writer_new(&w, &a.alloc, fd) == MPR_OK);
    CHECK(t, tell_giant(mpr_writer_sink(w), edges) == MPR_OK && mpr_writer_finish(w) == MPR_OK);
    CHECK(t, mpr_writer_nodes(w) == 3 && mpr_writer_edges(w) == edges + 4);
    CHECK(t, mpr_file_map(fd, &map, &size) == MPR_OK && mpr_writer_bytes(w) == size);
    CHECK(t, mpr_read(map, size, &read.sink, &a.alloc, NULL, NULL, &report) == MPR_OK && !report.cut);
    tape_end(&told);
    tape_end(&read);
    CHECK(t, tape_equal(&told, &read));
    CHECK(t, size < 3000 + 3 * edges);
    mpr_file_unmap(map, size);
    mpr_writer_free(w);
    tape_free(&told);
    tape_free(&read);
    close(fd);
    CHECK(t, a.live == 0 && a.wrong == 0);
}

/* A heap like many: instances with three attributes (an own int, a str of their own, one of ten shared objects), in rows by type. */
static int tell_regular(mpr_sink *sink, uint32_t count) {
    static const mpr_seen_type types[] = {
        {.name = "A", .name_length = 1}, {.name = "int", .name_length = 3}, {.name = "str", .name_length = 3}};
    int status = MPR_OK;
    for (unsigned i = 0; i < 3 && status == MPR_OK; i++) status = sink->type(sink, &types[i]);
    for (uint32_t i = 0; i < 3 * count && status == MPR_OK; i++) {
        uint32_t type = i / count, own = i % count;
        const uint64_t sizes[] = {56, 32, 50 + own % 5}, rows[] = {64, 32, 64};
        mpr_seen_node node = {
            .address = (UINT64_C(1) << 32) * (type + 1) + rows[type] * own, .size = sizes[type], .refcount = 1, .type = type};
        mpr_seen_edge edges[3] = {{(UINT64_C(2) << 32) + 32 * own, mpr_label_make(MPR_LABEL_INLINE, 0)},
                                  {(UINT64_C(3) << 32) + 64 * own, mpr_label_make(MPR_LABEL_INLINE, 1)},
                                  {(UINT64_C(2) << 32) + 32 * (own * own % 10), mpr_label_make(MPR_LABEL_INLINE, 2)}};
        status = sink->node(sink, &node);
        if (status == MPR_OK && type == 0) status = sink->edges(sink, edges, 3);
    }
    return status;
}

static void is_compact(test *t) {
    test_alloc a;
    mpr_writer *w = NULL;
    int fd = file_nameless();
    test_alloc_init(&a);
    if (CHECK(t, mpr_writer_new(&w, &a.alloc, fd) == MPR_OK)) {
        CHECK(t, tell_regular(mpr_writer_sink(w), 100000) == MPR_OK && mpr_writer_finish(w) == MPR_OK);
        CHECK(t, mpr_writer_bytes(w) < UINT64_C(4) * 300000);
        CHECK(t, a.alloc.peak < 16u << 20);
    }
    mpr_writer_free(w);
    close(fd);
}

/* ---- writers that fail ---- */

static bool writer_without_memory(test *t, uint64_t nth, const heap_shape *shape) {
    test_alloc a;
    mpr_writer *w = NULL;
    int fd = file_nameless();
    test_alloc_init(&a);
    a.fail_at = nth;
    int status = mpr_writer_new(&w, &a.alloc, fd);
    if (status == MPR_OK) {
        status = heap_tell(2, shape, mpr_writer_sink(w));
        int finished = mpr_writer_finish(w);
        CHECK(t, status == MPR_OK || finished == status);
        CHECK(t, finished == MPR_OK || mpr_writer_finish(w) == finished);
        status = finished;
        mpr_writer_free(w);
    }
    CHECK(t, (status == MPR_ENOMEM) == a.tripped && (status == MPR_OK || status == MPR_ENOMEM));
    CHECK(t, a.live == 0 && a.alloc.used == 0 && a.wrong == 0);
    close(fd);
    return a.tripped;
}

static bool reader_without_memory(test *t, uint64_t nth, const uint8_t *file, size_t size) {
    test_alloc a;
    mpr_builder *b = NULL;
    mpr_read_report report;
    test_alloc_init(&a);
    int status = mpr_builder_new(&b, &a.alloc);
    a.calls = 0;
    a.fail_at = nth;
    if (CHECK(t, status == MPR_OK)) status = mpr_read(file, size, mpr_builder_sink(b), &a.alloc, NULL, NULL, &report);
    CHECK(t, (status == MPR_ENOMEM) == a.tripped && (status == MPR_OK) == (report.message == NULL));
    mpr_builder_free(b);
    CHECK(t, a.live == 0 && a.wrong == 0);
    return a.tripped;
}

static void every_allocation(test *t) {
    heap_shape shape = {.nodes = 60, .types = 5, .edges = 3, .wild = true, .hashed = true};
    test_alloc a;
    size_t size = 0;
    test_alloc_init(&a);
    uint8_t *file = snapshot_make(&a.alloc, 2, &shape, &size);
    for (uint64_t nth = 1; writer_without_memory(t, nth, &shape); nth++) continue;
    for (uint64_t nth = 1; file && reader_without_memory(t, nth, file, size); nth++) continue;
    CHECK(t, file != NULL);
    mpr_alloc_free(&a.alloc, file, size, 1);
}

static int write_to(int fd, mpr_alloc *alloc, const heap_shape *shape) {
    mpr_writer *w;
    int status = mpr_writer_new(&w, alloc, fd);
    if (status != MPR_OK) return status;
    heap_tell(4, shape, mpr_writer_sink(w));
    status = mpr_writer_finish(w);
    mpr_writer_free(w);
    return status;
}

/* The disk is full after `limit` bytes, for every limit: an error, and what stands there is read as cut. */
static void disk_fills(test *t) {
    heap_shape shape = {.nodes = 30, .types = 4, .edges = 2};
    struct rlimit old, now;
    test_alloc a;
    test_alloc_init(&a);
    if (!CHECK(t, getrlimit(RLIMIT_FSIZE, &old) == 0)) return;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    size_t whole = 0;
    mpr_alloc_free(&a.alloc, snapshot_make(&a.alloc, 4, &shape, &whole), whole, 1);
    for (size_t limit = 0; limit < whole; limit += t->quick ? 97 : 3) {
        int fd = file_nameless();
        now = old;
        now.rlim_cur = limit;
        setrlimit(RLIMIT_FSIZE, &now);
        errno = 0;
        CHECK(t, write_to(fd, &a.alloc, &shape) == MPR_EIO && errno == EFBIG);
        setrlimit(RLIMIT_FSIZE, &old);
        CHECK(t, lseek(fd, 0, SEEK_END) == (off_t)limit);
        close(fd);
    }
    signal(SIGXFSZ, handler);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full >= 0) {
        CHECK(t, write_to(full, &a.alloc, &shape) == MPR_EIO && errno == ENOSPC);
        close(full);
    }
    CHECK(t, a.live == 0);
}

static void out_of_order(test *t) {
    const mpr_seen_node nodes[] = {
        {.address = 16, .type = 9}, {.address = 16, .flags = MPR_NODE_DERIVED},  {.address = 17}, {.address = 0},
        {.address = MPR_SYNTHETIC}, {.address = 16, .flags = MPR_NODE_SYNTHETIC}};
    mpr_seen_type type = {.name = "t", .name_length = 1};
    mpr_seen_edge edge = {.target = 16, .label = 0};
    for (unsigned i = 0; i < 8; i++) {
        test_alloc a;
        mpr_writer *w = NULL;
        int fd = file_nameless();
        test_alloc_init(&a);
        if (!CHECK(t, mpr_writer_new(&w, &a.alloc, fd) == MPR_OK)) return;
        mpr_sink *sink = mpr_writer_sink(w);
        CHECK(t, sink->type(sink, &type) == MPR_OK);
        int status = i < 6 ? sink->node(sink, &nodes[i]) : i == 6 ? sink->edges(sink, &edge, 1) : sink->text(sink, "x", 1);
        CHECK(t, status == MPR_EFORMAT && mpr_writer_finish(w) == MPR_EFORMAT);
        mpr_writer_free(w);
        close(fd);
    }
}

/* What was found in memory retains nothing until freeze says so: a strong one would take a reference away and be no edge. */
static void found_is_weak(test *t) {
    for (mpr_label_kind kind = MPR_LABEL_NATIVE; kind <= MPR_LABEL_DOUBTED; kind++) {
        mpr_label label = mpr_label_make(kind, 8);
        CHECK(t, mpr_label_valid(label | MPR_LABEL_WEAK) && !mpr_label_valid(label));
    }
}

static int stop_at(void *context, uint64_t done, uint64_t total) {
    uint64_t *left = context;
    return done > total || --*left == 0;
}

static void cancelled(test *t) {
    heap_shape shape = {.nodes = 30, .types = 3, .edges = 1};
    test_alloc a;
    size_t size = 0;
    mpr_read_report report;
    test_alloc_init(&a);
    uint8_t *file = snapshot_make(&a.alloc, 1, &shape, &size);
    for (uint64_t calls = 1; file && calls < 4; calls++) {
        tape read;
        uint64_t left = calls;
        tape_init(&read, &a.alloc);
        CHECK(t, mpr_read(file, size, &read.sink, &a.alloc, stop_at, &left, &report) == MPR_ECANCELLED && report.message != NULL);
        tape_free(&read);
    }
    mpr_alloc_free(&a.alloc, file, size, 1);
    CHECK(t, a.live == 0);
}

void test_format(test *t) {
    for (uint64_t seed = 1; seed <= (t->quick ? 2u : 25u); seed++) {
        heap_shape small = {.nodes = (uint32_t)seed * 11, .types = 1 + (uint32_t)seed % 7, .edges = 1 + (unsigned)seed % 5};
        heap_shape wild = {.nodes = 500, .types = 9, .edges = 12, .wild = true, .long_lists = true, .hashed = true, .native = true};
        round_trip(t, seed, &small);
        round_trip(t, seed, &wild);
        saved_is_loaded(t, seed, &small);
        saved_is_loaded(t, seed, &wild);
    }
    heap_shape large = {.nodes = 140000, .types = 300, .edges = 3, .wild = true, .hashed = true};
    if (!t->quick) {
        round_trip(t, 7, &large);
        giant_node(t, 262144 * 2 + 5);
        is_compact(t);
    }
    for (uint64_t edges = 262140; edges < 262146 && !t->quick; edges++) giant_node(t, edges);
    giant_node(t, 100);
    every_allocation(t);
    disk_fills(t);
    out_of_order(t);
    found_is_weak(t);
    cancelled(t);
}
