/* SPDX-License-Identifier: MIT
 * The image of a program or library in memory, by its own headers (System V ABI, "Object files"). */
#ifndef MPR_NATIVE_ELF_H
#define MPR_NATIVE_ELF_H

#include <stdint.h>

/* The end of the image whose first page is mapped at `begin`: of its zeroed data, which no file has. 0 when there is none. */
uint64_t mpr_elf_end(uint64_t begin);

#endif
