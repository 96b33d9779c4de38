/* SPDX-License-Identifier: MIT
 * Private blocks of an object: memory that it owns beside the block that it is in itself, as the items of a list or the table of a dict.
 *
 * A formula (cpy_kind.owned) adds up the bytes of these blocks for the object's size, which is asked for millions of times, and gives each
 * block to whoever asks where they are.
 *
 * Used by the layers facts and above. */
#ifndef CPY_BLOCKS_H
#define CPY_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cpy_blocks cpy_blocks;

/* Who is given the blocks. */
struct cpy_blocks {
    /* A block begins at `address`, as its allocator gave it out, and the size of the object has `bytes` of it. The last `leaf` bytes of these
     * refer to nothing, and the walk does not read them. */
    void (*add)(cpy_blocks *self, const void *address, size_t bytes, size_t leaf);
    bool only_leaves; /* blocks without such bytes are not wanted */
};

/* Are blocks wanted that refer to something? To be asked before a formula follows a list of them. */
static inline bool cpy_blocks_want_all(const cpy_blocks *blocks) { return blocks != NULL && !blocks->only_leaves; }

/* Give a block, unless nobody asks (blocks is NULL), it cannot be located (address is NULL) or nothing of it is counted. Returns its bytes, as
 * a formula adds them up. */
static inline size_t cpy_block(cpy_blocks *blocks, const void *address, size_t bytes) {
    if (cpy_blocks_want_all(blocks) && address != NULL && bytes != 0) {
        blocks->add(blocks, address, bytes, 0);
    }
    return bytes;
}

/* The same for a block whose last `leaf` bytes refer to nothing, and are not read by the walk. */
static inline size_t cpy_block_with_leaf(cpy_blocks *blocks, const void *address, size_t bytes, size_t leaf) {
    if (blocks != NULL && address != NULL && bytes != 0) {
        blocks->add(blocks, address, bytes, leaf);
    }
    return bytes;
}

/* A block that is the object's, and of which its size counts nothing: to be asked for only where it is no static one. */
static inline void cpy_uncounted_block(cpy_blocks *blocks, const void *address) {
    if (cpy_blocks_want_all(blocks) && address != NULL) {
        blocks->add(blocks, address, 0, 0);
    }
}

static inline size_t cpy_leaf_block(cpy_blocks *blocks, const void *address, size_t bytes) {
    return cpy_block_with_leaf(blocks, address, bytes, bytes);
}

#endif
