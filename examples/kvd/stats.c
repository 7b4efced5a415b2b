/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* stats: memcached's names where it has them, and what is known of the heap. */

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "protocol.h"

static const struct {
	const char *name;
	size_t offset;
} counters[] = {
#define ENTRY(name) { #name, offsetof(struct counters, name) },
	COUNTERS(ENTRY)
#undef ENTRY
};

static void stat_number(struct connection *c, const char *name, uint64_t value)
{
	reply_format(c, "STAT %s %" PRIu64 "\r\n", name, value);
}

static void stat_process(struct connection *c, const struct server *server)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	stat_number(c, "pid", (uint64_t)getpid());
	stat_number(c, "uptime",
		    (uint64_t)(clock_usec(CLOCK_MONOTONIC) - server->started) / 1000000);
	stat_number(c, "time", (uint64_t)server->store.now / 1000000);
	reply(c, "STAT version " KVD_VERSION "\r\n");
	stat_number(c, "pointer_size", sizeof(void *) * 8);
	reply_format(c, "STAT rusage_user %ld.%06ld\r\n", usage.ru_utime.tv_sec,
		     usage.ru_utime.tv_usec);
	reply_format(c, "STAT rusage_system %ld.%06ld\r\n", usage.ru_stime.tv_sec,
		     usage.ru_stime.tv_usec);
	stat_number(c, "max_connections", server->max_connections);
	stat_number(c, "curr_connections", server->connections);
	stat_number(c, "accepting_conns", server->accepting);
	stat_number(c, "threads", 1);
}

static void stat_store(struct connection *c, const struct store *s)
{
	const struct store_root *root = s->root;
	struct luo_heap_stat heap = { .struct_size = sizeof(heap) };

	stat_number(c, "limit_maxbytes", s->limit);
	stat_number(c, "bytes", root->sums.bytes);
	stat_number(c, "curr_items", root->sums.items);
	stat_number(c, "total_items", s->total_items);
	stat_number(c, "evictions", s->evictions);
	stat_number(c, "reclaimed", s->expired);
	stat_number(c, "hash_buckets", root->buckets);
	reply_format(c, "STAT heap_state %s\r\n",
		     luo_heap_state_to_string(luo_heap_get_state(s->heap)));
	if (luo_heap_stat(s->heap, &heap) < 0)
		return;
	reply_format(c, "STAT heap_id %016" PRIx64 "\r\n", heap.id);
	stat_number(c, "heap_size", heap.size);
	stat_number(c, "heap_max_size", heap.max_size);
	stat_number(c, "heap_free_pages_size", heap.free_pages_size);
	stat_number(c, "heap_openings", heap.openings);
	stat_number(c, "heap_created", heap.created_usec / 1000000);
	stat_number(c, "heap_recovered", heap.recovered);
}

static void stats_all(struct connection *c, const struct server *server)
{
	stat_process(c, server);
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		uint64_t value;

		memcpy(&value, (const char *)&server->counters + counters[i].offset, sizeof(value));
		stat_number(c, counters[i].name, value);
	}
	stat_store(c, &server->store);
	reply(c, "END\r\n");
}

static void stats_settings(struct connection *c, const struct server *server)
{
	stat_number(c, "maxbytes", server->store.limit);
	stat_number(c, "maxconns", server->max_connections);
	stat_number(c, "item_size_max", server->item_max);
	stat_number(c, "verbosity", (uint64_t)server->verbosity);
	stat_number(c, "lru_interval", server->store.lru_interval);
	reply(c, "STAT evictions on\r\nSTAT cas_enabled yes\r\nSTAT flush_enabled yes\r\nEND\r\n");
}

void command_stats(struct request *request)
{
	struct server *server = request->c->source.server;

	if (request->n_args == 1) {
		stats_all(request->c, server);
	} else if (slice_is(request->args[1], "settings")) {
		stats_settings(request->c, server);
	} else if (slice_is(request->args[1], "items") || slice_is(request->args[1], "slabs")) {
		/* How memcached lays out its own memory; clients ask, and can do without. */
		reply(request->c, "END\r\n");
	} else if (slice_is(request->args[1], "reset")) {
		memset(&server->counters, 0, sizeof(server->counters));
		server->store.total_items = server->store.evictions = server->store.expired = 0;
		reply(request->c, "RESET\r\n");
	} else {
		reply(request->c, "ERROR\r\n");
	}
}
