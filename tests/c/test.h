/* SPDX-License-Identifier: MIT
 * The harness of the C tests: checks that count, a repeatable generator, an allocator that can fail, and sinks to compare what was told.
 * A failed check prints where and goes on; main.c adds up. */
#ifndef MPR_TESTS_TEST_H
#define MPR_TESTS_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "graph/builder.h"
#include "graph/sink.h"

typedef struct test {
    const char *name;
    uint64_t passed, failed;
    bool quick; /* a reduced set: under valgrind */
} test;

#define CHECK(t, condition) test_check((t), (condition) ? 1 : 0, #condition, __FILE__, __LINE__)

/* Count one check; returns the condition. */
int test_check(test *t, int condition, const char *text, const char *file, int line);

/* Valgrind and sanitizers bring a malloc of their own; and memory that is anybody's may not be read directly there. */
bool test_has_glibc(void);

/* Zeroed pages of their own, for munmap. */
void *test_pages(size_t size);

/* ---- a repeatable generator (splitmix64) ---- */

typedef struct dice {
    uint64_t state;
} dice;

uint64_t dice_next(dice *d);
uint64_t dice_below(dice *d, uint64_t limit); /* limit > 0 */
bool dice_chance(dice *d, unsigned percent);

/* ---- an allocator around malloc: it checks what it is given back, and fails on demand ---- */

typedef struct test_alloc {
    mpr_alloc alloc;   /* first */
    uint64_t calls;    /* that may fail */
    uint64_t fail_at;  /* this call fails, counted from 1, and all after it when `sticky`; 0: none */
    bool sticky, tripped;
    uint64_t live, wrong; /* blocks; frees and resizes that told a wrong size */
    size_t limit;      /* bytes in use above which it fails; 0: none */
} test_alloc;

void test_alloc_init(test_alloc *a);

/* ---- made-up heaps ---- */

typedef struct heap_shape {
    uint32_t nodes, types;
    unsigned edges;   /* mean a node */
    bool wild;        /* addresses all over memory, odd ones, big sizes; else allocated in a row */
    bool long_lists;  /* a few nodes with thousands of edges */
    bool hashed;      /* some nodes have digests, of few contents */
    bool builtin;     /* half of the types are builtin ones, and what containers cost is told */
    bool native;      /* every fourth type is of native blocks, and some edges were found in memory */
} heap_shape;

/* Tell a made-up heap to a sink; the same seed tells the same. MPR_OK or what the sink said. */
int heap_tell(uint64_t seed, const heap_shape *shape, mpr_sink *sink);

/* ---- a sink that keeps what it was told, in a form that does not depend on how calls are cut ---- */

typedef struct tape {
    mpr_sink sink;              /* first */
    mpr_buffer types, infos, nodes, digests;
    mpr_buffer text;            /* of the last node: after its edges */
    bool has_text;
    uint64_t node_count, edge_count;
} tape;

void tape_init(tape *t, mpr_alloc *alloc);
void tape_end(tape *t); /* after the last call */
void tape_free(tape *t);
bool tape_equal(const tape *a, const tape *b);

/* ---- files ---- */

/* A snapshot of a made-up heap, in memory of the allocator; NULL when something failed. */
uint8_t *snapshot_make(mpr_alloc *alloc, uint64_t seed, const heap_shape *shape, size_t *size);

/* A descriptor of an empty file without a name, or -1. */
int file_nameless(void);

/* ---- graphs ---- */

mpr_graph *graph_make(mpr_alloc *alloc, uint64_t seed, const heap_shape *shape); /* NULL when something failed */

/* A graph of plain objects: node i refers to the second of each pair whose first is i (pairs in ascending order); sys.modules to `root`.
 * Reference counts are what the edges explain. NULL when something failed. */
typedef struct arrow {
    uint32_t from, to;
} arrow;
mpr_graph *graph_of(mpr_alloc *alloc, uint32_t nodes, const arrow *arrows, size_t count, uint32_t root);

/* One of 2 .. nodes plain objects and random arrows, about as many as nodes to three times that; the root is node 0. nodes <= 64. */
mpr_graph *graph_random(mpr_alloc *alloc, uint64_t seed, uint32_t nodes);

/* A program of one module, app, whose variables a_list, b_list ... are lists of app.Item. */
#define PROGRAM_MOST 8
typedef struct program {
    uint32_t variables;
    uint32_t items[PROGRAM_MOST]; /* in each list */
    uint32_t lost; /* items that only C code holds */
    uint32_t item_size;
    bool shared; /* each item is in the next variable's list, too */
    uint32_t replaced; /* the first so many items of each list are others than those of a program without */
    bool own;          /* the first list is memprobe's */
    int64_t pid; /* of its process; 0: not known */
} program;

mpr_graph *program_make(mpr_alloc *alloc, const program *p); /* NULL when something failed */
uint32_t program_list(const mpr_graph *g, uint32_t variable);

/* NULL, or what differs. */
const char *graph_difference(const mpr_graph *a, const mpr_graph *b);

/* ---- the modules ---- */

void test_bytes(test *t);
void test_alloc_module(test *t);
void test_vec(test *t);
void test_addrset(test *t);
void test_workset(test *t);
void test_graph(test *t);
void test_format(test *t);
void test_hostile(test *t);
void test_algo(test *t);
void test_scc(test *t);
void test_dominators(test *t);
void test_paths(test *t);
void test_signature(test *t);
void test_suspects(test *t);
void test_sharing(test *t);
void test_survivors(test *t);
void test_diff(test *t);
void test_growth(test *t);
void test_native(test *t);
void test_slots(test *t);
void test_marking(test *t);
void test_owners(test *t);
void test_adversarial(test *t);
void test_headroom(test *t);
void test_snapshot(test *t);
void test_waste(test *t);
void test_worst(test *t);

#endif
