/* SPDX-License-Identifier: MIT
 * The image of a program or library in memory, by its own headers (System V ABI, "Object files"). */
#ifndef MPR_NATIVE_ELF_H
#define MPR_NATIVE_ELF_H

#include <stddef.h>
#include <stdint.h>

/* The end of the image whose first page is mapped at `begin`: of its zeroed data, which no file has. 0 when there is none. */
uint64_t mpr_elf_end(uint64_t begin);

#define MPR_ELF_ID 20u /* bytes of the longest build id: a SHA-1, as linkers write it */

/* The build id of such an image, which distinguishes its file from another of the same name (ld's --build-id, a note of GNU). Its length, or 0
 * when there is none that is known. */
size_t mpr_elf_build_id(uint64_t begin, unsigned char out[MPR_ELF_ID]);

#endif
