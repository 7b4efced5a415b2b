/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUOD_VAULT_H
#define LUOD_VAULT_H

/*
 * Entries come into the stores and leave them. The vault keeps the order of luod.h for each of
 * them, so that a kill loses nothing that was acknowledged. No other module adds an entry to the
 * stores of luod or removes one. A memfd is at the keeper once, however many entries have it.
 */

#include <luo/store.h>

#include "tools/luod/state-record.h"

struct luod;

enum vault_add_result { VAULT_ADDED = 0, VAULT_EXISTED = 1 };
/*
 * Stores @fd, which is taken over in any case. When this returns >= 0 the fd is safe, if
 * keeper_settle() is called before the sender is told.
 *  -EINVAL  the name is invalid
 *  -EDQUOT  the store of the unit is full
 *  -ENOSPC  luod is full
 *  others   from the keeper or the log
 */
int vault_add_fd(struct luod *l, struct luo_unit *unit, const char *name, int fd, bool poll);
/* The same for an fd of PID 1, which has checked the limit of the unit: only luod can be full. */
int vault_add_manager_fd(struct luod *l, struct luo_unit *unit, const char *name, int fd,
			 bool poll);
/* The unit in the store; it is made and recorded if it does not exist. */
int vault_unit(struct luod *l, const char *name, struct luo_unit **ret);
/* The same, with the cgroup, limit and further keys of @like, which may be NULL. */
int vault_unit_like(struct luod *l, const char *name, const struct luo_unit *like,
		    struct luo_unit **ret);
/* The same among the held units: for a holding that a commit restores. */
int vault_unit_held(struct luod *l, const struct luo_unit *like, struct luo_unit **ret);
/* Forgets the unit if it has neither entries nor a registered process. */
void vault_unit_release(struct luod *l, const char *name);
/* Records a change to cgroup, limit or status. */
int vault_unit_changed(struct luod *l, struct luo_unit *unit);
/* Frees an entry of stored, held or lost. */
int vault_remove(struct luod *l, struct luo_entry *entry);
/* Makes entries safe that were put into a unit of the store without vault_add_fd(). */
int vault_secure_unit(struct luod *l, struct luo_unit *unit);
/* Moves a held entry to a unit of the store. */
int vault_move(struct luod *l, struct luo_entry *entry, struct luo_unit *to);
/* Moves an entry that has left the kernel to a unit of the store that @place names. */
int vault_adopt(struct luod *l, struct luo_entry *entry, struct luo_unit *to,
		enum record_place place);
/* The same for an entry that the kernel could not restore: it becomes a lost entry. */
int vault_adopt_lost(struct luod *l, struct luo_entry *entry);
/* Removes the entry on POLLHUP and POLLERR, if its file can be polled. */
void vault_watch(struct luod *l, struct luo_entry *entry);
void vault_unwatch(struct luo_entry *entry);

#endif
