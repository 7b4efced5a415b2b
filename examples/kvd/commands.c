/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* What each command does. The texts of the answers are those of memcached. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "protocol.h"

#define DELTA_MAX_RELATIVE (60 * 60 * 24 * 30) /* more seconds than that are a date */

static struct store *store_of(const struct request *request)
{
	return &request->c->source.server->store;
}

static struct counters *counters_of(const struct request *request)
{
	return &request->c->source.server->counters;
}

/* 0: never; up to 30 days: from now on; more: seconds since 1970; negative: it is over already. */
int parse_exptime(const struct store *s, struct slice text, int64_t *ret)
{
	bool negative = text.size && text.data[0] == '-';
	uint64_t n;
	int r;

	if (negative)
		text.data++, text.size--;
	r = parse_number(text, UINT64_C(1) << 40, &n);
	if (r < 0)
		return r;
	if (negative)
		*ret = 1;
	else if (n == 0)
		*ret = 0;
	else
		*ret = (int64_t)n * 1000000 + (n <= DELTA_MAX_RELATIVE ? s->now : 0);
	return 0;
}

/* The key in args[1]; false if there is none, and then that has been said. */
static bool get_key(struct request *request, struct key *ret)
{
	struct slice text = request->args[1];

	if (text.size > KEY_MAX_SIZE) {
		answer(request, BAD_FORMAT);
		return false;
	}
	*ret = store_key(store_of(request), text.data, text.size);
	return true;
}

/* -------------------------------------- get -------------------------------------- */

static char *put_text(char *p, const char *text, size_t size)
{
	return (char *)memcpy(p, text, size) + size;
}

static char *put_number(char *p, uint64_t n)
{
	char digits[20], *d = digits + sizeof(digits);

	do
		*--d = (char)('0' + n % 10);
	while (n /= 10);
	*p++ = ' ';
	return put_text(p, d, (size_t)(digits + sizeof(digits) - d));
}

/* VALUE KEY FLAGS SIZE [CAS]\r\n and the value. Is what a cache does most of the time. */
static int send_item(struct connection *c, const struct item *item)
{
	int r = buffer_reserve(&c->out, item->key_size + item->value_size + 80);
	char *p = c->out.data + c->out.end;

	if (r < 0)
		return r;
	p = put_text(p, "VALUE ", 6);
	p = put_text(p, item->data, item->key_size);
	p = put_number(p, item->flags);
	p = put_number(p, item->value_size);
	if (c->get.with_cas)
		p = put_number(p, item->cas);
	p = put_text(p, "\r\n", 2);
	p = put_text(p, item_value(item), item->value_size + 2);
	c->out.end = (size_t)(p - c->out.data);
	return 0;
}

int command_get_key(struct connection *c, struct slice text)
{
	struct counters *counters = &c->source.server->counters;
	struct store *s = &c->source.server->store;
	struct item *item = store_find(s, store_key(s, text.data, text.size));
	int r;

	if (c->get.touch)
		counters->cmd_touch++;
	counters->cmd_get++;
	if (!item) {
		counters->get_misses++;
		if (c->get.touch)
			counters->touch_misses++;
		return 0;
	}
	r = send_item(c, item);
	if (r < 0)
		return r;
	counters->get_hits++;
	if (c->get.touch) {
		counters->touch_hits++;
		store_touch(s, item, c->get.expires);
	}
	store_used(s, item);
	return 0;
}

/* --------------------------- set, add, replace, append, prepend, cas ---------------------------
 */

static void put(struct request *request, struct key key, uint32_t flags, int64_t expires,
		struct slice head, struct slice tail)
{
	if (store_put(store_of(request), key, flags, expires, head, tail) >= 0) {
		answer(request, "STORED\r\n");
		return;
	}
	counters_of(request)->store_no_memory++;
	answer(request, NO_MEMORY);
}

static const struct slice nothing = { "", 0 };

/* They were looked at before the value was read. */
static void put_value(struct request *request, struct key key)
{
	uint64_t flags = 0;
	int64_t expires = 0;

	(void)parse_number(request->args[2], UINT32_MAX, &flags);
	(void)parse_exptime(store_of(request), request->args[3], &expires);
	put(request, key, (uint32_t)flags, expires, request->value, nothing);
}

static void command_set(struct request *request)
{
	struct key key;

	counters_of(request)->cmd_set++;
	if (get_key(request, &key))
		put_value(request, key);
}

/* add: only if it is not there; replace: only if it is. */
static void command_add_replace(struct request *request)
{
	bool add = slice_is(request->args[0], "add");
	struct item *item;
	struct key key;

	counters_of(request)->cmd_set++;
	if (!get_key(request, &key))
		return;
	item = store_find(store_of(request), key);
	if (add == !item) {
		put_value(request, key);
		return;
	}
	if (item)
		store_used(store_of(request), item);
	answer(request, "NOT_STORED\r\n");
}

/* The flags and the time stay what they were. */
static void command_append_prepend(struct request *request)
{
	bool append = slice_is(request->args[0], "append");
	struct slice old, added = request->value;
	struct item *item;
	struct key key;

	counters_of(request)->cmd_set++;
	if (!get_key(request, &key))
		return;
	item = store_find(store_of(request), key);
	if (!item) {
		answer(request, "NOT_STORED\r\n");
		return;
	}
	old = (struct slice){ item_value(item), item->value_size };
	if (old.size + added.size > request->c->source.server->item_max) {
		counters_of(request)->store_too_large++;
		answer(request, "SERVER_ERROR object too large for cache\r\n");
		return;
	}
	put(request, key, item->flags, item->expires, append ? old : added, append ? added : old);
}

static void command_cas(struct request *request)
{
	struct counters *counters = counters_of(request);
	struct item *item;
	struct key key;
	uint64_t cas = 0;

	counters->cmd_set++;
	if (!get_key(request, &key))
		return;
	(void)parse_number(request->args[5], UINT64_MAX, &cas);
	item = store_find(store_of(request), key);
	if (!item) {
		counters->cas_misses++;
		answer(request, "NOT_FOUND\r\n");
	} else if (item->cas != cas) {
		counters->cas_badval++;
		answer(request, "EXISTS\r\n");
	} else {
		counters->cas_hits++;
		put_value(request, key);
	}
}

/* ------------------------------ delete, incr, decr, touch ------------------------------ */

static void command_delete(struct request *request)
{
	struct key key;

	/* Once the second argument was a time; 0 is still allowed. */
	if (request->n_args > 3 || (request->n_args == 3 && !slice_is(request->args[2], "0"))) {
		answer(request,
		       "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n");
		return;
	}
	if (!get_key(request, &key))
		return;
	if (!store_find(store_of(request), key)) {
		counters_of(request)->delete_misses++;
		answer(request, "NOT_FOUND\r\n");
	} else if (store_remove(store_of(request), key) < 0) {
		answer(request, "SERVER_ERROR out of memory deleting object\r\n");
	} else {
		counters_of(request)->delete_hits++;
		answer(request, "DELETED\r\n");
	}
}

/* Other servers leave spaces behind a number that has got shorter. */
static int parse_value(const struct item *item, uint64_t *ret)
{
	struct slice text = { item_value(item), item->value_size };

	while (text.size && text.data[text.size - 1] == ' ')
		text.size--;
	return parse_number(text, UINT64_MAX, ret);
}

static void command_incr_decr(struct request *request)
{
	struct counters *counters = counters_of(request);
	bool incr = slice_is(request->args[0], "incr");
	uint64_t delta, n;
	struct item *item;
	struct key key;
	char text[24];
	int size;

	if (!get_key(request, &key))
		return;
	if (parse_number(request->args[2], UINT64_MAX, &delta) < 0) {
		answer(request, "CLIENT_ERROR invalid numeric delta argument\r\n");
		return;
	}
	item = store_find(store_of(request), key);
	if (!item) {
		*(incr ? &counters->incr_misses : &counters->decr_misses) += 1;
		answer(request, "NOT_FOUND\r\n");
		return;
	}
	if (parse_value(item, &n) < 0) {
		answer(request, "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
		return;
	}
	/* incr goes on at 0, decr stops there. */
	n = incr ? n + delta : n > delta ? n - delta : 0;
	size = snprintf(text, sizeof(text), "%" PRIu64 "\r\n", n);
	if (store_put(store_of(request), key, item->flags, item->expires,
		      (struct slice){ text, (size_t)size - 2 }, nothing) < 0) {
		counters->store_no_memory++;
		answer(request, "SERVER_ERROR out of memory in incr\r\n");
		return;
	}
	*(incr ? &counters->incr_hits : &counters->decr_hits) += 1;
	answer(request, text);
}

static void command_touch(struct request *request)
{
	struct counters *counters = counters_of(request);
	struct item *item;
	struct key key;
	int64_t expires;

	if (!get_key(request, &key))
		return;
	if (parse_exptime(store_of(request), request->args[2], &expires) < 0) {
		answer(request, "CLIENT_ERROR invalid exptime argument\r\n");
		return;
	}
	counters->cmd_touch++;
	item = store_find(store_of(request), key);
	if (!item) {
		counters->touch_misses++;
		answer(request, "NOT_FOUND\r\n");
		return;
	}
	counters->touch_hits++;
	store_touch(store_of(request), item, expires);
	store_used(store_of(request), item);
	answer(request, "TOUCHED\r\n");
}

/* ------------------------------------- others ------------------------------------- */

/* What is known of an item, for whoever looks for a fault: a debugging command of memcached. */
static void command_me(struct request *request)
{
	const struct store *s = store_of(request);
	const struct item *item;
	struct key key;
	int64_t left = -1;

	if (!get_key(request, &key))
		return;
	item = store_find(store_of(request), key);
	if (!item) {
		reply(request->c, "EN\r\n");
		return;
	}
	if (item->expires)
		left = (item->expires - s->now + 999999) / 1000000;
	reply_format(request->c,
		     "ME %.*s exp=%" PRId64 " la=%u cas=%" PRIu64 " fetch=no cls=1 size=%zu\r\n",
		     key.size, key.data, left, (uint32_t)(s->now / 1000000) - item->used, item->cas,
		     offsetof(struct item, data) + item->key_size + item->value_size + 2);
}

static void command_flush_all(struct request *request)
{
	int64_t at = 0;

	if (request->n_args > 1 && parse_exptime(store_of(request), request->args[1], &at) < 0) {
		answer(request, "CLIENT_ERROR invalid exptime argument\r\n");
		return;
	}
	counters_of(request)->cmd_flush++;
	store_flush(store_of(request), at);
	answer(request, "OK\r\n");
}

static void command_version(struct request *request)
{
	reply(request->c, "VERSION " KVD_VERSION "\r\n");
}

static void command_verbosity(struct request *request)
{
	uint64_t level;

	if (request->n_args == 1 && !request->noreply) {
		reply(request->c, "ERROR\r\n");
		return;
	}
	if (request->n_args > 1) {
		if (parse_number(request->args[1], INT32_MAX, &level) < 0) {
			answer(request, BAD_FORMAT);
			return;
		}
		request->c->source.server->verbosity = (int)level;
	}
	answer(request, "OK\r\n");
}

static void command_quit(struct request *request)
{
	request->c->closing = true;
}

/* The most frequent ones first: the table is searched from the top. */
const struct command commands[] = {
	{ "get", COMMAND_GET, 0, 0, false, NULL },
	{ "set", COMMAND_VALUE, 4, 5, true, command_set },
	{ "gets", COMMAND_GET, 0, 0, false, NULL },
	{ "add", COMMAND_VALUE, 4, 5, true, command_add_replace },
	{ "replace", COMMAND_VALUE, 4, 5, true, command_add_replace },
	{ "cas", COMMAND_VALUE, 5, 6, true, command_cas },
	{ "append", COMMAND_VALUE, 4, 5, true, command_append_prepend },
	{ "prepend", COMMAND_VALUE, 4, 5, true, command_append_prepend },
	{ "delete", COMMAND_LINE, 1, 3, true, command_delete },
	{ "incr", COMMAND_LINE, 2, 3, true, command_incr_decr },
	{ "decr", COMMAND_LINE, 2, 3, true, command_incr_decr },
	{ "touch", COMMAND_LINE, 2, 3, true, command_touch },
	{ "gat", COMMAND_GET_TOUCH, 0, 0, false, NULL },
	{ "gats", COMMAND_GET_TOUCH, 0, 0, false, NULL },
	{ "flush_all", COMMAND_LINE, 0, 2, true, command_flush_all },
	{ "stats", COMMAND_LINE, 0, 2, false, command_stats },
	{ "version", COMMAND_LINE, 0, 0, false, command_version },
	{ "verbosity", COMMAND_LINE, 0, 2, true, command_verbosity },
	{ "me", COMMAND_LINE, 1, 1, false, command_me },
	{ "quit", COMMAND_LINE, 0, 0, false, command_quit },
	{ NULL, COMMAND_LINE, 0, 0, false, NULL },
};
