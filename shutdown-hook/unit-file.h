/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_UNIT_FILE_H
#define SHUTDOWN_HOOK_UNIT_FILE_H

/*
 * What a unit says of itself, as far as the generator has to know: who may speak for it
 * (NotifyAccess=), and whether it is better not started than started without what it had
 * (X-LUO-Restore=required; systemd ignores all that begins with "X-").
 *
 * The generator cannot ask PID 1, which waits for it. So it looks where PID 1 looks: the fragment
 * of the unit or of its template, then the drop-ins for the unit, its template, its prefixes
 * ("a-.service.d" for "a-b.service") and the type ("service.d"), in the order of their file names.
 * The directories are listed once, however many units are asked for. Drop-ins for an alias of the
 * unit are not seen.
 */

#include <stdbool.h>
#include <stddef.h>

struct unit_dir {
	char *path;
	char **names; /* in order */
	size_t n;
};

struct unit_dirs {
	struct unit_dir *dirs; /* the first counts most */
	size_t n;
};

enum unit_notify_access {
	UNIT_NOTIFY_UNSET,
	UNIT_NOTIFY_NONE,
	UNIT_NOTIFY_MAIN,
	UNIT_NOTIFY_EXEC,
	UNIT_NOTIFY_ALL,
};

struct unit_settings {
	bool found; /* there is a fragment, and it is not masked */
	enum unit_notify_access notify_access;
	bool required;
	bool preserves_store; /* FileDescriptorStorePreserve=yes or on-success */
};

/*
 * @list: directories with ":" between them; what is not there is empty. NULL: those of systemd, see
 * systemd.unit(5), without those that generators write.
 */
int unit_dirs_open(const char *list, struct unit_dirs *ret);
void unit_dirs_done(struct unit_dirs *dirs);

/* What cannot be read counts as if it were not there: PID 1 does so too. -ENOMEM. */
int unit_settings_read(const struct unit_dirs *dirs, const char *unit, struct unit_settings *ret);

/* The text of one file of a unit: what it says counts, the rest stays. For tests too. */
void unit_settings_parse(const char *text, size_t size, struct unit_settings *settings);

#endif
