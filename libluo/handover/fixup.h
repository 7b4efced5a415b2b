/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIBLUO_HANDOVER_FIXUP_H
#define LIBLUO_HANDOVER_FIXUP_H

/*
 * What the kernel drops or damages on the way (mm/memfd_luo.c keeps content, size, offset and
 * seals, and nothing else), taken down before the kexec and put right after it. Internal.
 */

#include "libluo/store/internal.h"

/* The mode and owner that a retrieved memfd has; what equals them need not be written down. */
#define LUO_KERNEL_MODE 0777

/*
 * Notes the name of the memfd behind an entry, unless it is known. Names never change, so this can
 * be done when the fd is stored, outside the blackout.
 */
int luo_entry_learn_name(struct luo_entry *entry);

/* Copies a meta, texts and extents included. */
int luo_meta_copy(const struct luo_entry_meta *from, struct luo_entry_meta *ret_meta);

/*
 * Puts mode, owner, seals, O_APPEND and access right on a file that came out of a session.
 * Takes fd in any case; *ret_fd may be another fd of the same file.
 */
int luo_fixup_consume_fd(int fd, const struct luo_entry_meta *meta, int *ret_fd);

#endif
