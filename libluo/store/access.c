/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The getters and setters of units and entries, which are opaque to applications. */

#include "libluo/store/internal.h"

#include <errno.h>

#include "common/util.h"

_public_ const char *luo_unit_get_name(const struct luo_unit *unit)
{
	return unit ? unit->name : NULL;
}

_public_ const char *luo_unit_get_cgroup(const struct luo_unit *unit)
{
	return unit ? unit->cgroup : NULL;
}

_public_ unsigned luo_unit_get_fdstore_max(const struct luo_unit *unit)
{
	return unit ? unit->fdstore_max : 0;
}

_public_ size_t luo_unit_n_entries(const struct luo_unit *unit)
{
	return unit ? unit->n_entries : 0;
}

_public_ struct luo_entry *luo_unit_entry_at(const struct luo_unit *unit, size_t index)
{
	return unit && index < unit->n_entries ? unit->entries[index] : NULL;
}

_public_ void *luo_unit_get_userdata(const struct luo_unit *unit)
{
	return unit ? unit->userdata : NULL;
}

_public_ void luo_unit_set_userdata(struct luo_unit *unit, void *userdata)
{
	if (unit)
		unit->userdata = userdata;
}

_public_ struct luo_unit *luo_entry_get_unit(const struct luo_entry *entry)
{
	return entry ? entry->unit : NULL;
}

_public_ const char *luo_entry_get_name(const struct luo_entry *entry)
{
	return entry ? entry->name : NULL;
}

_public_ enum luo_entry_type luo_entry_get_type(const struct luo_entry *entry)
{
	return entry ? entry->type : LUO_ENTRY_FD;
}

_public_ int luo_entry_get_fd(const struct luo_entry *entry)
{
	return entry && entry->fd >= 0 ? entry->fd : -EBADF;
}

_public_ unsigned luo_entry_get_session(const struct luo_entry *entry)
{
	return entry ? entry->session : 0;
}

_public_ uint64_t luo_entry_get_token(const struct luo_entry *entry)
{
	return entry ? entry->token : 0;
}

_public_ bool luo_entry_is_alias(const struct luo_entry *entry)
{
	return entry && entry->alias;
}

_public_ bool luo_entry_is_packed(const struct luo_entry *entry)
{
	return entry && entry->meta.packed;
}

_public_ const char *luo_entry_get_session_name(const struct luo_entry *entry)
{
	return entry ? entry->session_name : NULL;
}

_public_ const char *luo_entry_get_file_name(const struct luo_entry *entry)
{
	return entry && (entry->meta.known & LUO_META_FILE_NAME) ? entry->meta.file_name : NULL;
}

_public_ int luo_entry_get_size(const struct luo_entry *entry, uint64_t *ret_size)
{
	if (!entry || !ret_size)
		return -EINVAL;
	if (!(entry->meta.known & LUO_META_SIZE))
		return -ENODATA;
	*ret_size = entry->meta.size;
	return 0;
}

_public_ int luo_entry_get_error(const struct luo_entry *entry)
{
	return entry ? entry->failed : -EINVAL;
}

_public_ bool luo_entry_get_poll(const struct luo_entry *entry)
{
	return entry && entry->poll;
}

_public_ void luo_entry_set_poll(struct luo_entry *entry, bool poll)
{
	if (entry)
		entry->poll = poll;
}

_public_ void *luo_entry_get_userdata(const struct luo_entry *entry)
{
	return entry ? entry->userdata : NULL;
}

_public_ void luo_entry_set_userdata(struct luo_entry *entry, void *userdata)
{
	if (entry)
		entry->userdata = userdata;
}
