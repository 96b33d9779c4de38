/* SPDX-License-Identifier: MIT
 * 64-bit little-endian ELF: the file header, and one program header after the other. Read through the kernel, for a file may have been cut
 * since it was mapped. */
#include "native/elf.h"

#include <stdbool.h>
#include <string.h>

#include "base/os/maps.h"

#define PAGE UINT64_C(4096)
#define LOADED 1u   /* PT_LOAD */
#define NOTES 4u    /* PT_NOTE */
#define FIXED 2u    /* ET_EXEC: at its own addresses */
#define MOST 64u    /* program headers */
#define NOTE_BYTES 512u
#define BUILD_ID 3u /* NT_GNU_BUILD_ID */

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

typedef struct note_header {
    uint32_t name_size, size, type;
} note_header;

/* The program headers of an image: how many, or 0 when it is none. */
static uint16_t read_headers(uint64_t begin, file_header *file, program_header *out) {
    if (!read_at(begin, sizeof *file, file) || memcmp(file->identity, "\177ELF\2\1", 6) != 0 || file->program_size != sizeof *out ||
        file->program_count > MOST || !read_at(begin + file->programs, file->program_count * sizeof *out, out)) {
        return 0;
    }
    return file->program_count;
}

/* How far the image lies from the addresses that its headers name. */
static uint64_t moved(uint64_t begin, const file_header *file, const program_header *p, uint16_t count) {
    uint64_t first = UINT64_MAX;
    for (uint16_t i = 0; i < count; i++) {
        first = p[i].type == LOADED && p[i].address < first ? p[i].address : first;
    }
    return file->type == FIXED ? 0 : begin - (first & ~(PAGE - 1));
}

uint64_t mpr_elf_end(uint64_t begin) {
    file_header file;
    program_header p[MOST];
    uint16_t count = read_headers(begin, &file, p);
    uint64_t end = 0;
    for (uint16_t i = 0; i < count; i++) {
        end = p[i].type == LOADED && p[i].address + p[i].in_memory > end ? p[i].address + p[i].in_memory : end;
    }
    return end == 0 ? 0 : (end + moved(begin, &file, p, count) + PAGE - 1) & ~(PAGE - 1);
}

static size_t padded(uint32_t size) { return ((size_t)size + 3) & ~(size_t)3; }

/* The build id among notes. */
static size_t find_build_id(const unsigned char *notes, size_t size, unsigned char *out) {
    note_header note;
    for (size_t at = 0; size - at >= sizeof note; at += padded(note.size)) {
        memcpy(&note, notes + at, sizeof note);
        at += sizeof note;
        if (padded(note.name_size) > size - at || padded(note.size) > size - at - padded(note.name_size)) {
            return 0;
        }
        bool is_id = note.type == BUILD_ID && note.name_size == 4 && memcmp(notes + at, "GNU", 4) == 0;
        at += padded(note.name_size);
        if (is_id && note.size <= MPR_ELF_ID) {
            memcpy(out, notes + at, note.size);
            return note.size;
        }
    }
    return 0;
}

size_t mpr_elf_build_id(uint64_t begin, unsigned char out[MPR_ELF_ID]) {
    file_header file;
    program_header p[MOST];
    unsigned char notes[NOTE_BYTES];
    uint16_t count = read_headers(begin, &file, p);
    uint64_t offset = count == 0 ? 0 : moved(begin, &file, p, count);
    for (uint16_t i = 0; i < count; i++) {
        size_t size = p[i].in_memory < NOTE_BYTES ? (size_t)p[i].in_memory : NOTE_BYTES;
        size_t length = p[i].type == NOTES && read_at(p[i].address + offset, size, notes) ? find_build_id(notes, size, out) : 0;
        if (length > 0) {
            return length;
        }
    }
    return 0;
}
