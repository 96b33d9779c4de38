/* SPDX-License-Identifier: MIT
 * 64-bit little-endian ELF: the file header, and one program header after the other. Read through the kernel, for a file may have been cut
 * since it was mapped. */
#include "native/elf.h"

#include <stdbool.h>
#include <string.h>

#include "base/os/maps.h"

#define PAGE UINT64_C(4096)
#define LOADED 1u   /* PT_LOAD */
#define FIXED 2u    /* ET_EXEC: at its own addresses */
#define MOST 64u    /* program headers */

typedef struct file_header {
    unsigned char identity[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, programs, sections; /* programs: offset of the program headers */
    uint32_t flags;
    uint16_t size, program_size, program_count, section_size, section_count, names;
} file_header;

typedef struct program_header {
    uint32_t type, flags;
    uint64_t offset, address, physical, in_file, in_memory, alignment;
} program_header;

static bool read_at(uint64_t address, size_t size, void *out) { return mpr_maps_peek(false, &address, 1, size, out) == 1; }

uint64_t mpr_elf_end(uint64_t begin) {
    file_header file;
    uint64_t first = UINT64_MAX, end = 0;
    if (!read_at(begin, sizeof file, &file) || memcmp(file.identity, "\177ELF\2\1", 6) != 0) {
        return 0;
    }
    if (file.program_size != sizeof(program_header) || file.program_count > MOST) {
        return 0;
    }
    for (uint16_t i = 0; i < file.program_count; i++) {
        program_header p;
        if (!read_at(begin + file.programs + i * sizeof p, sizeof p, &p)) {
            return 0;
        }
        if (p.type == LOADED) {
            first = p.address < first ? p.address : first;
            end = p.address + p.in_memory > end ? p.address + p.in_memory : end;
        }
    }
    uint64_t moved = file.type == FIXED ? 0 : begin - (first & ~(PAGE - 1));
    return end == 0 ? 0 : (end + moved + PAGE - 1) & ~(PAGE - 1);
}
