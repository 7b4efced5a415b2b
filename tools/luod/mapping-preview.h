/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_MAPPING_PREVIEW_H
#define LUOD_MAPPING_PREVIEW_H

/*
 * The mapping as a commit would write it now. It leaves out what cannot be preserved. Only a commit
 * decides how a file travels (packed, or as a copy) and in which session.
 */

struct luod;

/* @ret_text is allocated. */
int mapping_preview(struct luod *l, char **ret_text);

#endif
