/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/stores.h"

#include <luo/handover.h>
#include <luo/store.h>

#include "libluo/handover/incoming.h"
#include "tools/luod/luod.h"

struct luo_store *stores_incoming(const struct luod *l)
{
	struct luo_mapping *mapping = l->incoming ? luo_incoming_mapping(l->incoming) : NULL;

	return mapping ? mapping->store : NULL;
}

bool stores_at(const struct luod *l, size_t i, struct luo_store **ret, enum entry_state *ret_state)
{
	switch (i) {
	case 0:
		*ret = l->state.stored;
		*ret_state = ENTRY_STORED;
		return true;
	case 1:
		*ret = l->state.held;
		*ret_state = ENTRY_HELD;
		return true;
	case 2:
		*ret = l->state.lost;
		*ret_state = ENTRY_LOST;
		return true;
	case 3:
		*ret = stores_incoming(l);
		*ret_state = ENTRY_HELD;
		return *ret != NULL;
	default:
		return false;
	}
}

bool unit_is_known(const struct luod *l, const char *name)
{
	struct luo_store *incoming = stores_incoming(l);

	return luo_store_find_unit(l->state.stored, name) ||
	       luo_store_find_unit(l->state.held, name) ||
	       luo_store_find_unit(l->state.lost, name) ||
	       (incoming && luo_store_find_unit(incoming, name));
}

unsigned unit_max(const struct luod *l, const struct luo_unit *unit)
{
	return unit->fdstore_max > 0 ? unit->fdstore_max : l->options.fdstore_max;
}
