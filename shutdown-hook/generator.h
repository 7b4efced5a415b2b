/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef SHUTDOWN_HOOK_GENERATOR_H
#define SHUTDOWN_HOOK_GENERATOR_H

/*
 * systemd.generator(7): a drop-in for each unit that has something to get back, so that
 * luo-restore pushes it into the unit's fd store before its main process starts.
 *
 * It runs while PID 1 waits for it, at boot before anything else and at every daemon-reload. So it
 * waits for nobody (the device: 1 s), and whatever goes wrong is a line in the kernel's log: a unit
 * without its drop-in starts without its fds, and those stay held.
 */

#include <stdbool.h>
#include <stddef.h>

/* Of each drop-in, in the directory of its unit. */
#define GENERATOR_DROPIN "zz-luo.conf"

struct index;

struct generator {
	const char *directory;             /* for the drop-ins */
	const char *runtime_dir;           /* /run/luo */
	const char *unit_path;             /* $SYSTEMD_UNIT_PATH, or NULL */
	const char *helper;                /* luo-restore */
	bool user;                         /* for the manager of a user, see generator-user.c */
	unsigned (*manager_version)(void); /* 0: not known */
	void (*log)(int priority, const char *text);
};

/*
 * Where the names of the units come from, in this order:
 *
 *  RUNTIME/units       luod has published it: what is held now. It is up to date
 *  RUNTIME/index.json  an earlier run has written it: luod has not come that far yet, or is off
 *  the session         at boot. The text goes to RUNTIME/index.json. Once this is closed it is
 *                      finished for good; what it says is only about the real one, called "luod",
 *                      which must not be touched here: what is not retrieved from it before it is
 *                      closed is gone
 *
 * 0 with nothing in *ret if there is nothing. -ENODEV and -EOPNOTSUPP: no live update here.
 */
int generator_find_units(const struct generator *g, struct index *ret);

/* The drop-ins. How many it has written; negative if one could not be, after all the others. */
int generator_write(const struct generator *g, const struct index *index);

/* Both. 0, or 1 if something has gone wrong that a person should see. */
int generator_run(const struct generator *g);

void generator_log(const struct generator *g, int priority, const char *format, ...)
	__attribute__((__format__(__printf__, 3, 4)));

#endif
