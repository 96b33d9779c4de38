/* SPDX-License-Identifier: MIT
 * Pillow: the pixels of an image. */
#include "cpython/library.h"

/* Give the blocks { memory, bytes (int) } of an image, which end with one without memory; `bytes` are those of its lines. With an alignment
 * of lines they have some more, which the size of the image does not. */
static void give_image_blocks(const size_t *image, size_t lines, size_t bytes, cpy_blocks *blocks) {
    const size_t *block = (const size_t *)image[8];
    for (size_t i = 0; i < lines && block[0] != 0 && bytes > 0; i++, block += 2) {
        size_t some = (uint32_t)block[1] < bytes ? (uint32_t)block[1] : bytes;
        bytes -= cpy_block(blocks, (const void *)block[0], some);
    }
}

/* The image that the object refers to: { mode, type and bands, width and height (int each), palette, two typed lines, lines, block, blocks,
 * bytes of a pixel and of a line (int each) .. }. Its lines are in blocks of its own, or one block, or somebody else's memory: only the
 * first is counted. The row is partial: a palette, the array of the blocks and the structure itself are not in it. */
static size_t owned_image(PyObject *object, cpy_blocks *blocks) {
    const size_t *image = (const size_t *)WORD(object, 2);
    if (image == NULL || image[8] == 0) {
        return 0;
    }
    size_t lines = image[2] >> 32, bytes = lines * (image[9] >> 32);
    if (cpy_blocks_want_all(blocks)) {
        give_image_blocks(image, lines, bytes, blocks);
    }
    return cpy_block(blocks, (const void *)image[6], lines * sizeof(void *)) + bytes;
}

/* An image of 100 x 50 pixels of 4 bytes. */
static bool check_image(PyObject *object) {
    const size_t *image = (const size_t *)WORD(object, 2);
    bool follow = image != NULL && (size_t)image % sizeof(void *) == 0 && Py_TYPE(object)->tp_basicsize <= 64;
    return follow && image[2] == (UINT64_C(50) << 32 | 100) && image[9] == (UINT64_C(400) << 32 | 4) && image[7] == 0 &&
           image[8] != 0 && image[3] == 0 && image[6] != 0;
}

const cpy_library cpy_library_pillow[] = {
    {{.name = "ImagingCore", .owned = owned_image, .partial = true},
     "PIL._imaging",
     NULL,
     "__import__('sys').modules['PIL._imaging'].new('RGB', (100, 50))",
     check_image},
    {{.name = NULL}, NULL, NULL, NULL, NULL},
};
