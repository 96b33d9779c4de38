/* SPDX-License-Identifier: MIT
 * Pillow: the pixels of an image. */
#include "cpython/library.h"

/* The image that the object refers to: { mode, type and bands, width and height (int each), palette, two typed lines, lines, block, blocks,
 * bytes of a pixel and of a line (int each) .. }. Its lines are in blocks of its own, or one block, or somebody else's memory: only the
 * first is counted. The row is partial: a palette and the structure itself are not in it. */
static size_t owned_image(PyObject *object) {
    const size_t *image = (const size_t *)WORD(object, 2);
    size_t lines = image == NULL ? 0 : image[2] >> 32, bytes = image == NULL ? 0 : image[9] >> 32;
    return image != NULL && image[8] != 0 ? lines * (bytes + sizeof(void *)) : 0;
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
