/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "libluo/handover/fixup.h"
#include "libluo/handover/incoming.h"
#include "common/util.h"

static int compare(const void *a, const void *b)
{
	const struct luo_shared_file *x = a, *y = b;

	if (x->session != y->session)
		return x->session < y->session ? -1 : 1;
	return x->token < y->token ? -1 : x->token > y->token;
}

struct luo_shared_file *luo_incoming_shared_of(struct luo_incoming *incoming,
					       const struct luo_entry *entry)
{
	struct luo_shared_file key = { .session = entry->session, .token = entry->token };

	if (incoming->n_shared == 0 || entry->type != LUO_ENTRY_FD || entry->token == 0)
		return NULL;
	return bsearch(&key, incoming->shared, incoming->n_shared, sizeof(key), compare);
}

static int collect_aliases(struct luo_incoming *incoming)
{
	struct luo_entry *entry;
	struct luo_unit *unit;
	size_t n = 0;

	LUO_FOREACH_UNIT (unit, incoming->mapping->store)
		LUO_FOREACH_ENTRY (entry, unit)
			n += entry->alias;
	if (n == 0)
		return 0;

	incoming->shared = calloc(n, sizeof(*incoming->shared));
	if (!incoming->shared)
		return -ENOMEM;
	LUO_FOREACH_UNIT (unit, incoming->mapping->store)
		LUO_FOREACH_ENTRY (entry, unit)
			if (entry->alias)
				incoming->shared[incoming->n_shared++] = (struct luo_shared_file){
					.session = entry->session,
					.token = entry->token,
					.fd = -EBADF,
				};
	return 0;
}

static void sort_and_unite(struct luo_incoming *incoming)
{
	size_t kept = 0;

	qsort(incoming->shared, incoming->n_shared, sizeof(*incoming->shared), compare);
	for (size_t i = 0; i < incoming->n_shared; i++)
		if (kept == 0 || compare(&incoming->shared[kept - 1], &incoming->shared[i]) != 0)
			incoming->shared[kept++] = incoming->shared[i];
	incoming->n_shared = kept;
}

int luo_incoming_find_shared(struct luo_incoming *incoming)
{
	struct luo_entry *entry;
	struct luo_unit *unit;
	int r;

	r = collect_aliases(incoming);
	if (r < 0 || incoming->n_shared == 0)
		return r;
	sort_and_unite(incoming);

	LUO_FOREACH_UNIT (unit, incoming->mapping->store)
		LUO_FOREACH_ENTRY (entry, unit) {
			struct luo_shared_file *shared;

			if (entry->alias)
				continue;
			shared = luo_incoming_shared_of(incoming, entry);
			if (!shared)
				continue;
			r = luo_meta_copy(&entry->meta, &shared->meta);
			if (r < 0)
				return r;
		}
	return 0;
}

int luo_incoming_remember_fd(struct luo_incoming *incoming, const struct luo_entry *entry, int fd)
{
	struct luo_shared_file *shared = luo_incoming_shared_of(incoming, entry);
	int copy;

	if (!shared || shared->fd >= 0 || fd < 0)
		return 0;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	shared->fd = copy;
	return 0;
}
