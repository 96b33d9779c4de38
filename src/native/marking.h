/* SPDX-License-Identifier: MIT
 * Which native blocks refer to which, found by looking at their contents: the conservative marking of Boehm's collector
 * ("Garbage Collection in an Uncooperative Environment", 1988) and of LeakSanitizer, over a process that stands still. Each word
 * that is an address within a block, or of an object, is a reference; what it is really nobody knows.
 *
 *   begin ──▶ blocks in use
 *     exclude: what is counted in an object's size     } while a walk
 *     mark:    what a word of an object's body leads to } emits objects
 *   finish ─▶ blocks with an object are excluded ─▶ what is marked is emitted, and marks what it refers to
 *          ─▶ data of images, the same ─▶ other memory, for what nothing else refers to ─▶ what is left is lost
 *
 * Blocks are nodes with the flag MPR_NODE_NATIVE; the references of and to them are edges with the label MPR_LABEL_NATIVE and
 * the offset of the word. What nothing had to write to may be left from before: a word at the end of a chunk, which is the
 * program's only if it asked for it; and an address inside of a block is no owner's, mostly. Such edges are MPR_LABEL_DOUBTED:
 * graph/native.h. What stacks and unknown memory refer to is often stale: it keeps a block from being lost, and takes none from
 * who else refers to it.
 *
 * Cost: the bitmap of blocks, and two of what is marked: 2.4 % of small blocks. Each byte of them is read once. */
#ifndef MPR_NATIVE_MARKING_H
#define MPR_NATIVE_MARKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/map.h"
#include "base/os/held.h"
#include "base/workset.h"
#include "graph/sink.h"
#include "native/account.h"
#include "native/blocks.h"
#include "native/in_use.h"
#include "native/roots.h"

#define MPR_MARKING_BATCH 256
#define MPR_MARKING_COPY ((size_t)64 << 10) /* bytes */
#define MPR_MARKING_STACK (UINT64_C(64) << 10) /* bytes of the stack that it needs */

typedef struct mpr_marking_totals {
    uint64_t blocks, bytes;       /* that were marked */
    uint64_t lost, lost_bytes;    /* that were not */
    uint64_t estimated_bytes;     /* of `bytes`, in slots */
} mpr_marking_totals;

typedef struct mpr_marking {
    mpr_alloc *alloc;
    mpr_blocks blocks; /* those that no object has */
    mpr_workset marked;
    mpr_roots roots;
    mpr_in_use in_use;
    const mpr_account_more *more; /* its owner's */
    mpr_held pages, memory; /* of this process */
    uint64_t *copy; /* MPR_MARKING_COPY bytes */
    size_t before;  /* bytes that Python's debug hooks have before what is in a block: its owner's to set */
    mpr_marking_totals totals;
    int64_t nanoseconds; /* that it took: its owner's to count */

    /* while it emits */
    mpr_sink *sink;
    bool lost; /* what is emitted now is */
    const mpr_addrset *objects;
    uint64_t lowest, end; /* no block and no object lies outside */
    uint32_t *types;      /* how many types there are; the next one's number */
    mpr_map first_words;  /* the type of blocks that begin with a word */
    MPR_VEC(uint64_t) named; /* images that such a word leads to, by their bases */
    mpr_buffer name;         /* of the type in hand */
    mpr_buffer images;       /* the same as text: docs/FORMAT.md, native_images */
    uint32_t plain;       /* the type of the others */
    mpr_seen_edge edges[MPR_MARKING_BATCH];
    size_t edge_count;
    int status;
} mpr_marking;

/* Of all blocks of malloc's regions, and of pymalloc, of which `more` tells, as long as there is a marking. MPR_OK, MPR_ENOMEM, MPR_ELIMIT, MPR_EUNSUPPORTED where this process may
 * not look at its own memory through the kernel; free it in any case. */
int mpr_marking_begin(mpr_marking *m, mpr_alloc *alloc, const mpr_account_more *more);
void mpr_marking_free(mpr_marking *m);

/* A block that is counted in the size of an object, by the address that this has of it; or one that is kept ready. */
void mpr_marking_exclude(mpr_marking *m, uint64_t address);

/* Bytes that a library may have before what it gives out of a block: its address is known by what lies behind them. */
#define MPR_MARKING_HEADER 16u

/* Is a word the address of a block, or of what lies behind such a header? Its lowest bits may be a tag. */
static inline bool mpr_marking_owns(uint64_t block, uint64_t word) { return (word & ~UINT64_C(7)) - block <= MPR_MARKING_HEADER; }

/* The label of an edge to a block, which a word at this offset leads to. It is weak until the heap is frozen. */
static inline mpr_label mpr_marking_label(uint64_t block, uint64_t word, uint64_t offset) {
    return mpr_label_make(mpr_marking_owns(block, word) ? MPR_LABEL_NATIVE : MPR_LABEL_DOUBTED, offset) | MPR_LABEL_WEAK;
}

#define MPR_MARKING_LARGE (UINT64_C(128) << 10) /* bytes of a block of which only the beginning is led to */
#define MPR_MARKING_NUMBER 0x10000u             /* less than this is a small number */

/* The block that a word leads to, or 0. Text over half of what was left behind looks like an address inside of some block: so
 * what is no multiple of 8 leads to no inside, nor does a small number of 32 bits over the lower half; and nothing leads far
 * inside of a large block, which is hit most, but for what was aligned: that lies no further behind the beginning than it is
 * aligned to. */
static inline uint64_t mpr_marking_find(mpr_marking *m, uint64_t word) {
    uint64_t block = mpr_blocks_find(&m->blocks, word);
    if (block == 0 || mpr_marking_owns(block, word)) {
        return block;
    }
    bool near =
        word - block < 4096 || word - block <= (word & (0 - word)) || mpr_blocks_size(&m->blocks, block) < MPR_MARKING_LARGE;
    return word % 8 == 0 && (uint32_t)word >= MPR_MARKING_NUMBER && near ? block : 0;
}

/* Mark the block that a word leads to: where it begins, or 0. Failures are kept for the end. */
uint64_t mpr_marking_mark(mpr_marking *m, uint64_t word);

/* What is needed to finish. */
typedef struct mpr_marking_walk {
    mpr_sink *sink;
    uint32_t *types; /* how many types the sink has; it is counted on */
    uint64_t *synthetic; /* the next address of a node that is no object */
    const mpr_addrset *objects; /* all that were emitted */
    mpr_span stack; /* of this thread, what was called since the process stands still: no root */
} mpr_marking_walk;

/* Emit all blocks. MPR_OK, MPR_ENOMEM, MPR_ELIMIT, MPR_EIO when the maps cannot be read, or what the sink said. */
int mpr_marking_finish(mpr_marking *m, const mpr_marking_walk *walk);

#endif
