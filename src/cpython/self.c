/* SPDX-License-Identifier: MIT
 * See cpython/self.h. */
#include "cpython/self.h"

#include <string.h>

int cpy_self_find(cpy_self *self, mpr_alloc *alloc) {
    PyObject *modules = PyImport_GetModuleDict(), *name, *module;
    Py_ssize_t at = 0;
    while (modules != NULL && PyDict_Check(modules) && PyDict_Next(modules, &at, &name, &module)) {
        if (!PyUnicode_Check(name) || !PyUnicode_IS_COMPACT_ASCII(name) || !PyModule_Check(module)) {
            continue;
        }
        const char *text = (const char *)PyUnicode_1BYTE_DATA(name);
        bool is_self = strncmp(text, "memprobe", 8) == 0 && (text[8] == '\0' || text[8] == '.');
        if (is_self && (mpr_vec_push(&self->objects, alloc, module) != MPR_OK ||
                        mpr_vec_push(&self->objects, alloc, PyModule_GetDict(module)) != MPR_OK)) {
            return MPR_ENOMEM;
        }
    }
    return MPR_OK;
}

void cpy_self_free(cpy_self *self, mpr_alloc *alloc) { mpr_vec_free(&self->objects, alloc); }

bool cpy_self_has(const cpy_self *self, const PyObject *object) {
    for (size_t i = 0; i < self->objects.count; i++) {
        if (self->objects.items[i] == object) {
            return true;
        }
    }
    return false;
}

bool cpy_self_has_frame(const cpy_self *self, PyObject *object) {
    void *at = cpy_layout_inner_frame(object);
    cpy_frame frame;
    if (at == NULL) {
        return false;
    }
    cpy_layout_frame(at, &frame);
    return cpy_self_has(self, frame.globals);
}
