/* SPDX-License-Identifier: MIT
 * The table of fields, and what a label may be. */
#include "graph/label.h"

static const struct {
    const char *text;
    uint32_t bits;
} fields[] = {
#define FIELD_ROW(id, text, weak, housekeeping)                                                                                    \
    {text, ((weak) ? MPR_LABEL_WEAK : 0) | ((housekeeping) ? MPR_LABEL_HOUSEKEEPING : 0)},
    MPR_FIELDS(FIELD_ROW)
#undef FIELD_ROW
};

mpr_label mpr_label_field(mpr_field field) { return mpr_label_make(MPR_LABEL_FIELD, field) | fields[field].bits; }

const char *mpr_label_field_text(uint32_t field) { return fields[field < MPR_FIELD_COUNT ? field : 0].text; }
