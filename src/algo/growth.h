/* SPDX-License-Identifier: MIT
 * What grew within one process: two or three heaps of it, compared object by object.
 *
 * An object is the same when its address and type are, and it does not hang below one that is not: addresses are used again. What an older
 * heap does not have *came*, what a newer one does not have *went*; each
 * stands in one row, that of the nearest object above it in the rank tree which is in both: its *holder*. A row is a holder and the type of
 * what came or went right below it; its bytes are those that came less those that went, with all that they keep, and what the holder itself
 * grew by. Holders that are called alike (algo/signature.h: all sessions of one dict) are one row. What several hold, so that nothing below a
 * module dominates it, stands with the holder that names it (algo/name_tree.h), whoever the others are at the moment; what a module, class or
 * root holds is the row itself, by the variable that has it.
 *
 * Churn is no growth: came minus went, never what is new. With three heaps a row must have objects that came in both spans, half of what came
 * in the first must still be there, and it must have grown from the first to the second heap and not fallen to the third. A row below the floor is none. What no row has is
 * not attributed: rows and it add up to the growth of the heap, exactly.
 *
 * Native blocks are no objects and have no rows: each is part of the object that is the nearest above it in the rank tree, or of the
 * root group or image, which is a row by itself then. Where they are counted an object's size is with its blocks; rows say how much
 * of their growth is native in any case.
 *
 * Beside the rows: objects to which C code has more references than before (their residual grew, in both spans of three heaps).
 *
 * Cost: a look-up for every node of the newer heaps, signatures of all heaps, one pass over the edges of the newest for owners. */
#ifndef MPR_ALGO_GROWTH_H
#define MPR_ALGO_GROWTH_H

#include "algo/name_tree.h"
#include "algo/signature.h"
#include "base/vec.h"

#define MPR_GROWTH_MOST 3u
#define MPR_GROWTH_FLOOR 4096         /* bytes: less is no row; of a larger heap a thousandth of it, ... */
#define MPR_GROWTH_FLOOR_MOST 32768   /* ... up to this */
#define MPR_GROWTH_FLOOR_REFERENCES 64 /* of C code, in each span */
#define MPR_GROWTH_OWNERS 3u         /* of a row, that are named */
#define MPR_GROWTH_EXAMPLES 4u       /* of what came in a row */

typedef enum mpr_growth_kind {
    MPR_GROWTH_HELD,     /* objects of `type` below holders; `node` is one of these */
    MPR_GROWTH_VARIABLE, /* objects that modules, classes or roots hold; `node` is one of them */
    MPR_GROWTH_ITSELF,   /* `node` itself: it has a larger buffer */
    MPR_GROWTH_C,        /* objects that only C code holds; `node` is one of them */
    MPR_GROWTH_GARBAGE,  /* unreachable objects */
} mpr_growth_kind;

/* Index 0 of counts and bytes: from the first heap to the second; 1: to the last (the same of two heaps). */
typedef struct mpr_growth_row {
    mpr_growth_kind kind;
    uint32_t graph, node;        /* what names the row: a node of this heap */
    uint32_t type_graph, type;   /* of what grew: a type of that heap */
    bool several;                /* holders, or objects of a variable kind, stand in this row */
    int64_t count[2], bytes[2];
    int64_t native[2];           /* growth of native blocks: of `bytes` where they are counted, else beside them */
    uint64_t came[2], came_bytes[2]; /* objects of the type; bytes of all that came */
    uint64_t stayed_bytes;       /* of what came to the second of three heaps: what the third still has */
    uint64_t base_count, base_bytes; /* what the first heap had there, with all that it kept */
    bool in_use;                 /* a running function's own variables hold it */
    uint32_t
        owner[MPR_GROWTH_OWNERS]; /* nodes of the newest heap that refer to what came, the most first; MPR_NO_NODE for no more */
    uint32_t example[MPR_GROWTH_EXAMPLES]; /* nodes of the newest heap that came right below the holder; MPR_NO_NODE for no more */
    size_t asked, asked_count; /* of the nodes that were asked for, those that came in this row: in `asked` */
} mpr_growth_row;

typedef struct mpr_growth_reference {
    uint32_t node; /* of the newest heap */
    int64_t more[2]; /* references that no edge explains */
} mpr_growth_reference;

typedef struct mpr_growth {
    mpr_alloc *alloc;
    uint32_t graphs;
    uint64_t bytes[MPR_GROWTH_MOST]; /* of each heap */
    int64_t unattributed;
    MPR_VEC(mpr_growth_row) rows; /* what lasts first, most bytes first */
    MPR_VEC(mpr_growth_reference) references; /* most first */
    MPR_VEC(uint32_t) asked;
} mpr_growth;

/* A heap with what was computed of it. */
typedef struct mpr_growth_heap {
    const mpr_graph *graph;
    const mpr_ranks *ranks;
    const mpr_dominators *dominators; /* of the rank tree */
    mpr_name_tree *names; /* searched as far as what several hold needs it */
    bool native; /* native blocks are counted: of all heaps or of none */
    const uint32_t *asked; /* nodes whose rows are asked for, of the newest heap; else ignored */
    size_t asked_count;
} mpr_growth_heap;

/* Are these heaps of one process? By their facts, and by where the process has its sys.modules. */
bool mpr_growth_is_one_process(const mpr_graph *const *graphs, uint32_t count);

/* Two or three heaps of one process, the oldest first; memory is the last one's. MPR_OK, MPR_ENOMEM, MPR_ECANCELLED; MPR_ELIMIT for another
 * number. */
int mpr_growth_find(const mpr_growth_heap *heaps, uint32_t count, mpr_progress progress, void *context, mpr_growth *out);
void mpr_growth_free(mpr_growth *growth); /* a zeroed one is allowed */

#endif
