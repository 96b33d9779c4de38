/* SPDX-License-Identifier: MIT
 * A block that an allocator has given out. */
#ifndef MPR_NATIVE_BLOCK_H
#define MPR_NATIVE_BLOCK_H

#include <stdint.h>

typedef struct mpr_block {
    uint64_t address, size; /* as the program has it: what it can hold */
    const uint64_t *words;  /* its contents, valid during the call */
} mpr_block;

typedef void mpr_block_each(void *context, const mpr_block *block);

#endif
