/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_REGISTRATION_H
#define LUOD_REGISTRATION_H

/*
 * The registered processes: the main processes of units, told apart by pidfd. A registration ends
 * when its process exits; what the unit has stored stays. Registrations survive a restart of luod.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct luod;
struct peer;

/* The running side of a registration in the state. */
struct watcher {
	struct luod *luod;
	pid_t pid;
	uint64_t start;
	int pidfd;
	uint64_t inode; /* of the pidfd; 0: pidfds have no inode of their own */
	bool named;     /* MAINPID= named it; it did not register itself */
	sd_event_source *source;
	struct watcher *next; /* the next older one */
};

/* Registers the caller. -ENOSPC: the unit has too many, or all units together. */
int registration_add_caller(struct luod *l, const char *unit, const struct peer *caller);
/* Registers a process that another one named; it replaces the oldest such one of a full unit. */
int registration_add(struct luod *l, const char *unit, const struct peer *process);
/* After a restart: watches the processes that are still the same, and forgets the others. */
void registrations_resume(struct luod *l);
void registrations_free(struct luod *l);

#endif
