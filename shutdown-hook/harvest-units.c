/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * One unit after the other: copies of what can travel go to luod, what cannot is noted with its
 * reason. luod answers when an fd is safe even if it is killed in the next moment, and takes an fd
 * that it has already as done; so everything here may be repeated.
 */

#include <stdio.h>

#include <luo/store.h>

#include "shutdown-hook/harvest.h"
#include "common/json.h"
#include "common/log.h"
#include "shutdown-hook/record.h"
#include "shutdown-hook/sender.h"

/* For luod's Store; it has to fit into one message of a socket. */
#define BATCH_MAX 200

struct batch {
	struct harvest *harvest;
	struct sender *sender;
	const struct luo_manager_unit *unit;
	const struct luo_manager_fd *entries[BATCH_MAX];
	enum luo_kind kinds[BATCH_MAX];
	int fds[BATCH_MAX];
	size_t n;
};

static void lose(struct harvest *h, const char *unit, const char *name, enum luo_kind kind,
		 const char *reason)
{
	log_notice("%s: \"%s\" (%s) will be lost: %s.", unit, name, luo_kind_to_string(kind),
		   reason);
	record_add_skipped(h->record, unit, name, luo_kind_to_string(kind), reason);
	h->n_lost++;
}

/* Not for what the fd is, so it is said once, on the console. */
static void note_failure(struct harvest *h, const char *why)
{
	if (h->why[0])
		return;
	snprintf(h->why, sizeof(h->why), "%s", why);
	record_add_problem(h->record, why);
}

static struct json_object *name_at_luod(const struct batch *b, const struct luo_manager_fd *entry)
{
	char text[LUO_UNIT_NAME_MAX + LUO_FDNAME_MAX + 2];

	if (!b->harvest->owner)
		return json_object_new_string(entry->name);
	snprintf(text, sizeof(text), "%s/%s", b->unit->name, entry->name);
	return json_object_new_string(text);
}

/* With the name of its unit in front it may be longer than a name can be. */
static bool fits(const struct batch *b, const struct luo_manager_fd *entry)
{
	return !b->harvest->owner ||
	       strlen(b->unit->name) + 1 + strlen(entry->name) <= LUO_FDNAME_MAX;
}

static int send_part(struct batch *b, size_t first, size_t n)
{
	struct json_object *names = json_object_new_array(), *o;
	const char *owner = b->harvest->owner;

	for (size_t i = 0; i < n; i++)
		json_append(names, name_at_luod(b, b->entries[first + i]));
	o = json_strings("unit", owner ?: b->unit->name, NULL);
	json_add(o, "names", names);
	/* Neither memory nor a session ever hangs up. */
	json_add_bool(o, "poll", false);
	json_add_bool(o, "manager", !owner);
	return sender_call(b->sender, "Store", o, &b->fds[first], n);
}

static int send_if_any_use(struct batch *b, size_t first, size_t n)
{
	if (b->harvest->luod_is_gone)
		return -ECONNREFUSED;
	return b->harvest->owner_is_full ? -EDQUOT : send_part(b, first, n);
}

static void kept(struct batch *b, size_t n)
{
	struct harvest *h = b->harvest;

	h->n_kept += n;
	h->n_kept_units += h->last_unit != b->unit->name;
	h->last_unit = b->unit->name;
}

static void lost(struct batch *b, size_t first, size_t n, int error)
{
	const char *why = sender_error(b->sender, error);

	if (sender_is_cut_off(b->sender, error))
		b->harvest->luod_is_gone = true;
	if (b->harvest->owner && error == -EDQUOT)
		b->harvest->owner_is_full = true;
	note_failure(b->harvest, why);
	for (size_t i = first; i < first + n; i++)
		lose(b->harvest, b->unit->name, b->entries[i]->name, b->kinds[i], why);
}

/* luod stops at the first that it cannot take: one by one, that one takes no other with it. */
static void send_one_by_one(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		int r = send_if_any_use(b, i, 1);

		if (r < 0)
			lost(b, i, 1, r);
		else
			kept(b, 1);
	}
}

static void flush(struct batch *b)
{
	int r;

	if (b->n == 0)
		return;
	r = send_if_any_use(b, 0, b->n);
	if (r >= 0)
		kept(b, b->n);
	else if (b->n == 1 || b->harvest->luod_is_gone || b->harvest->owner_is_full ||
		 sender_is_cut_off(b->sender, r))
		lost(b, 0, b->n, r);
	else
		send_one_by_one(b);
	close_many(b->fds, b->n);
	b->n = 0;
}

static void add(struct batch *b, const struct luo_manager_fd *entry, enum luo_kind kind, int fd)
{
	b->entries[b->n] = entry;
	b->kinds[b->n] = kind;
	b->fds[b->n] = fd;
	if (++b->n == BATCH_MAX)
		flush(b);
}

static void harvest_unit(struct batch *b, struct luo_manager_table *table)
{
	const struct luo_manager_unit *u = b->unit;

	for (size_t i = 0; i < u->n_fds; i++) {
		struct luo_manager_verdict v;
		int fd;

		luo_manager_judge(table, u, &u->fds[i], &v, &fd);
		if (v.survives && !fits(b, &u->fds[i])) {
			safe_close(fd);
			lose(b->harvest, u->name, u->fds[i].name, v.kind,
			     "its name and that of the service are too long together");
		} else if (v.survives)
			add(b, &u->fds[i], v.kind, fd);
		else if (v.expected)
			lose(b->harvest, u->name, u->fds[i].name, v.kind, v.reason);
		else
			log_debug("%s: \"%s\" is left alone: %s.", u->name, u->fds[i].name,
				  v.reason);
	}
	flush(b);
}

static void note_unit_error(struct harvest *h, const struct luo_manager_unit *u)
{
	size_t missing = u->n_said > u->n_fds ? u->n_said - u->n_fds : 0;
	char why[160];

	if (u->error == 0 || missing == 0 || streq(u->name, "luod.service"))
		return;
	snprintf(why, sizeof(why), "%s does not tell what is in the store of %.80s: %s",
		 h->owner ?: "PID 1", u->name,
		 u->error == -ETIMEDOUT ? "it did not answer in time" : strerror(-u->error));
	note_failure(h, why);
	log_warning("%s; %zu fds will be lost.", why, missing);
	h->n_lost += missing;
}

void harvest_units(struct harvest *h, const struct luo_manager_unit *units, size_t n)
{
	struct sender sender = {
		.deadline = now_usec(CLOCK_MONOTONIC) + h->config->harvest_timeout_usec,
	};
	struct luo_manager_table *table = h->table;
	struct batch *b;
	int r;

	b = calloc(1, sizeof(*b));
	r = !b ? -ENOMEM : table ? 0 : luo_manager_table_open(&table);
	if (r < 0) {
		char why[128];

		snprintf(why, sizeof(why), "cannot read the descriptor table of PID 1: %s",
			 strerror(-r));
		note_failure(h, why);
		for (size_t i = 0; i < n; i++)
			h->n_lost += units[i].preserve ? units[i].n_fds : 0;
		free(b);
		return;
	}
	b->harvest = h;
	b->sender = &sender;
	for (size_t i = 0; i < n; i++) {
		b->unit = &units[i];
		harvest_unit(b, table);
		note_unit_error(h, &units[i]);
	}
	sender_done(&sender);
	if (!h->table)
		luo_manager_table_free(table);
	free(b);
}

/* ---- the dry run ----------------------------------------------------------------------------- */

static void show_entry(struct luo_manager_table *table, const struct luo_manager_unit *u,
		       const struct luo_manager_fd *entry)
{
	struct luo_manager_verdict v;
	int fd;

	luo_manager_judge(table, u, entry, &v, &fd);
	printf("%s \"%s\" (%s): %s%s\n", u->name, entry->name, luo_kind_to_string(v.kind),
	       v.survives ? "is kept" : "is not kept, ", v.survives ? "" : v.reason);
	safe_close(fd);
}

int harvest_show(struct luo_manager_table *table, const struct luo_manager_unit *units, size_t n)
{
	struct luo_manager_table *opened = NULL;
	int r = table ? 0 : luo_manager_table_open(&opened);

	if (r < 0) {
		log_error("Cannot read the descriptor table of PID 1: %s.", strerror(-r));
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < units[i].n_fds; k++)
			show_entry(table ?: opened, &units[i], &units[i].fds[k]);
		if (units[i].error)
			printf("%s: %u fds of which its manager does not tell more: %s\n",
			       units[i].name, units[i].n_said, strerror(-units[i].error));
	}
	luo_manager_table_free(opened);
	return EXIT_SUCCESS;
}
