/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * What PID 1 has in the fd stores of its services.
 *
 * This runs while everything is stopped, on machines with hundreds of services, of which a few have
 * a store. So all of them are asked for one number, with many questions under way at once: a round
 * trip each would cost more than the answers. Only those with something in their store are asked
 * for more, and then for four properties: "all" would have PID 1 read the cgroup of each.
 */

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <luo/store.h>

#include "manager/internal.h"
#include "common/util.h"

/* Questions under way. PID 1 disconnects whoever lets too many answers lie. */
#define WINDOW 128

/* ---- memory ---------------------------------------------------------------------------------- */

struct luo_manager_fd *luo_manager_fds_free(struct luo_manager_fd *fds, size_t n)
{
	for (size_t i = 0; fds && i < n; i++) {
		free(fds[i].name);
		free(fds[i].path);
	}
	free(fds);
	return NULL;
}

static void unit_done(struct luo_manager_unit *u)
{
	free(u->name);
	free(u->preserve_text);
	free(u->active_state);
	free(u->result);
	luo_manager_fds_free(u->fds, u->n_fds);
}

struct luo_manager_unit *luo_manager_units_free(struct luo_manager_unit *units, size_t n)
{
	for (size_t i = 0; units && i < n; i++)
		unit_done(&units[i]);
	free(units);
	return NULL;
}

/* ---- the content of a store ------------------------------------------------------------------ */

struct dump_entry {
	const char *name, *path;
	uint32_t mode, major, minor, rdev_major, rdev_minor, flags;
	uint64_t inode;
};

static int add_fd(struct luo_manager_fd **fds, size_t *n, const struct dump_entry *e)
{
	struct luo_manager_fd *more;

	if (*n >= MANAGER_FDS_MAX)
		return -E2BIG;
	/* Doubles at each power of two. */
	if ((*n & (*n - 1)) == 0) {
		more = reallocarray(*fds, *n ? *n * 2 : 1, sizeof(**fds));
		if (!more)
			return -ENOMEM;
		*fds = more;
	}
	(*fds)[*n] = (struct luo_manager_fd){
		.name = strdup(e->name),
		.path = strdup(e->path),
		.device = makedev(e->major, e->minor),
		.inode = e->inode,
		.mode = e->mode,
		.flags = (int)e->flags,
	};
	(*n)++;
	return (*fds)[*n - 1].name && (*fds)[*n - 1].path ? 0 : -ENOMEM;
}

/*
 * PID 1 puts what is new in front, and gives a service its fds in that order. Whoever pushes them
 * into its store again has to begin with the oldest.
 */
static void oldest_first(struct luo_manager_fd *fds, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct luo_manager_fd other = fds[i];

		fds[i] = fds[n - 1 - i];
		fds[n - 1 - i] = other;
	}
}

int luo_manager_read_dump(sd_bus_message *reply, struct luo_manager_fd **ret_fds, size_t *ret_n,
			  size_t *ret_bad)
{
	struct luo_manager_fd *fds = NULL;
	size_t n = 0, bad = 0;
	int r;

	r = sd_bus_message_enter_container(reply, 'a', "(suuutuusu)");
	if (r < 0)
		return r;
	for (;;) {
		struct dump_entry e;

		r = sd_bus_message_read(reply, "(suuutuusu)", &e.name, &e.mode, &e.major, &e.minor,
					&e.inode, &e.rdev_major, &e.rdev_minor, &e.path, &e.flags);
		if (r <= 0)
			break;
		if (!luo_fdname_is_valid(e.name)) {
			bad++;
			continue;
		}
		r = add_fd(&fds, &n, &e);
		if (r < 0)
			break;
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(reply);
	if (r < 0) {
		luo_manager_fds_free(fds, n);
		return r;
	}
	oldest_first(fds, n);
	*ret_fds = fds;
	*ret_n = n;
	*ret_bad = bad;
	return 0;
}

int luo_manager_dump(sd_bus *bus, const char *unit, struct luo_manager_fd **ret_fds, size_t *ret_n)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	size_t bad;
	int r;

	if (!luo_unit_name_is_valid(unit))
		return -EINVAL;
	r = sd_bus_call_method(bus, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
			       "DumpUnitFileDescriptorStore", &error, &reply, "s", unit);
	if (r < 0)
		return sd_bus_error_has_name(&error, MANAGER_NAME ".NoSuchUnit") ? -ENOENT : r;
	return luo_manager_read_dump(reply, ret_fds, ret_n, &bad);
}

/* ---- many questions at once ------------------------------------------------------------------ */

struct survey;

struct question {
	struct survey *survey;
	size_t index;
};

struct candidate {
	struct luo_manager_unit unit;
	char *path;
};

struct survey {
	sd_bus *bus;
	uint64_t deadline;
	size_t under_way;
	int incomplete;
	struct candidate *candidates;
	size_t n;
	sd_bus_slot **slots; /* of all questions: what nobody answered must not come back later */
	size_t n_slots;
};

static uint64_t time_left(const struct survey *s)
{
	uint64_t now = now_usec(CLOCK_MONOTONIC);

	if (s->deadline == UINT64_MAX)
		return UINT64_MAX;
	/* 0 would be for ever, or what is usual. */
	return s->deadline > now ? s->deadline - now : 1;
}

static int survey_wait(struct survey *s, size_t until)
{
	while (s->under_way > until) {
		int r = sd_bus_process(s->bus, NULL);

		if (r == 0)
			r = sd_bus_wait(s->bus, time_left(s));
		if (r < 0 && r != -EINTR)
			return r;
		/* The calls time out by themselves, unless the clock of the bus stands still. */
	}
	return 0;
}

static void note_incomplete(struct survey *s, struct luo_manager_unit *u, int error)
{
	if (u)
		u->error = u->error ?: error;
	s->incomplete = s->incomplete ?: error;
}

/* Counts it, and gives the unit; an error stands in *ret_error. */
static struct luo_manager_unit *answered(struct question *q, sd_bus_message *m, int *ret_error)
{
	q->survey->under_way--;
	*ret_error = sd_bus_message_is_method_error(m, NULL) ? -sd_bus_message_get_errno(m) : 0;
	return &q->survey->candidates[q->index].unit;
}

static int ask(struct survey *s, size_t index, sd_bus_message *m, sd_bus_message_handler_t handler)
{
	struct question *q;
	int r;

	if ((s->n_slots & (s->n_slots - 1)) == 0) {
		sd_bus_slot **more =
			reallocarray(s->slots, s->n_slots ? s->n_slots * 2 : 1, sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->slots = more;
	}
	q = malloc(sizeof(*q));
	if (!q)
		return -ENOMEM;
	*q = (struct question){ s, index };
	r = sd_bus_call_async(s->bus, &s->slots[s->n_slots], m, handler, q, time_left(s));
	if (r < 0) {
		free(q);
		return r;
	}
	(void)sd_bus_slot_set_destroy_callback(s->slots[s->n_slots++], free);
	s->under_way++;
	return survey_wait(s, WINDOW);
}

static int ask_property(struct survey *s, size_t index, const char *name,
			sd_bus_message_handler_t handler)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(s->bus, &m, MANAGER_NAME, s->candidates[index].path,
					   "org.freedesktop.DBus.Properties", "Get");
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", SERVICE_INTERFACE, name);
	return r < 0 ? r : ask(s, index, m, handler);
}

static int ask_dump(struct survey *s, size_t index, sd_bus_message_handler_t handler)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(s->bus, &m, MANAGER_NAME, MANAGER_PATH,
					   MANAGER_INTERFACE, "DumpUnitFileDescriptorStore");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", s->candidates[index].unit.name);
	return r < 0 ? r : ask(s, index, m, handler);
}

/* ---- answers --------------------------------------------------------------------------------- */

static int read_number(sd_bus_message *m, unsigned *ret)
{
	uint32_t n;
	int r = sd_bus_message_read(m, "v", "u", &n);

	if (r < 0)
		return r;
	*ret = n;
	return 0;
}

static int read_text(sd_bus_message *m, char **ret)
{
	const char *text;
	int r = sd_bus_message_read(m, "v", "s", &text);

	if (r < 0)
		return r;
	free(*ret);
	*ret = strndup(text, 64);
	return *ret ? 0 : -ENOMEM;
}

/* A unit that has gone since has nothing any more. */
static bool is_gone(int error)
{
	return error == -EBADR || error == -ENOENT;
}

static int on_count(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct question *q = userdata;
	int r;
	struct luo_manager_unit *u = answered(q, m, &r);

	if (r == 0)
		r = read_number(m, &u->n_said);
	if (r < 0 && !is_gone(r))
		note_incomplete(q->survey, NULL, r);
	return 0;
}

static int on_max(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct question *q = userdata;
	int r;
	struct luo_manager_unit *u = answered(q, m, &r);

	if (r == 0)
		(void)read_number(m, &u->max);
	return 0;
}

static int on_preserve(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct question *q = userdata;
	int r;
	struct luo_manager_unit *u = answered(q, m, &r);

	if (r == 0)
		r = read_text(m, &u->preserve_text);
	/* Before version 254 there is no such property, and nothing is preserved. */
	if (r < 0 && !is_gone(r))
		note_incomplete(q->survey, u, r);
	return 0;
}

static int on_result(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct question *q = userdata;
	int r;
	struct luo_manager_unit *u = answered(q, m, &r);

	if (r == 0)
		(void)read_text(m, &u->result);
	return 0;
}

static int on_dump(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct question *q = userdata;
	size_t bad = 0;
	int r;
	struct luo_manager_unit *u = answered(q, m, &r);

	if (r == 0)
		r = luo_manager_read_dump(m, &u->fds, &u->n_fds, &bad);
	if (r == 0 && bad > 0)
		r = -EBADMSG;
	if (r < 0)
		note_incomplete(q->survey, u, r);
	return 0;
}

/* ---- the survey ------------------------------------------------------------------------------ */

static int add_candidate(struct survey *s, const char *name, const char *state, const char *path)
{
	struct candidate *c;

	if (s->n >= MANAGER_UNITS_MAX)
		return -E2BIG;
	if ((s->n & (s->n - 1)) == 0) {
		c = reallocarray(s->candidates, s->n ? s->n * 2 : 1, sizeof(*c));
		if (!c)
			return -ENOMEM;
		s->candidates = c;
	}
	c = &s->candidates[s->n++];
	*c = (struct candidate){
		.unit = { .name = strdup(name), .active_state = strndup(state, 64) },
		.path = strdup(path),
	};
	return c->unit.name && c->unit.active_state && c->path ? 0 : -ENOMEM;
}

/* Everything that is loaded: the service of a store may have stopped long ago. */
static int list_services(struct survey *s)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
	int r;

	r = sd_bus_message_new_method_call(s->bus, &m, MANAGER_NAME, MANAGER_PATH,
					   MANAGER_INTERFACE, "ListUnitsByPatterns");
	if (r >= 0)
		r = sd_bus_message_append(m, "asas", 0, 1, "*.service");
	if (r >= 0)
		r = sd_bus_call(s->bus, m, time_left(s), NULL, &reply);
	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
	while (r >= 0) {
		const char *name, *state, *path;

		r = sd_bus_message_read(reply, "(ssssssouso)", &name, NULL, NULL, &state, NULL,
					NULL, &path, NULL, NULL, NULL);
		if (r <= 0)
			break;
		if (luo_unit_name_is_valid(name))
			r = add_candidate(s, name, state, path);
	}
	return r;
}

static int ask_for_counts(struct survey *s)
{
	int r = 0;

	for (size_t i = 0; i < s->n && r >= 0; i++)
		r = ask_property(s, i, "NFileDescriptorStore", on_count);
	return r < 0 ? r : survey_wait(s, 0);
}

static int ask_for_stores(struct survey *s)
{
	int r = 0;

	for (size_t i = 0; i < s->n && r >= 0; i++) {
		if (s->candidates[i].unit.n_said == 0)
			continue;
		r = ask_property(s, i, "FileDescriptorStorePreserve", on_preserve);
		if (r >= 0)
			r = ask_property(s, i, "Result", on_result);
		if (r >= 0)
			r = ask_property(s, i, "FileDescriptorStoreMax", on_max);
		if (r >= 0)
			r = ask_dump(s, i, on_dump);
	}
	return r < 0 ? r : survey_wait(s, 0);
}

static bool is_preserved(const struct luo_manager_unit *u)
{
	const char *text = u->preserve_text ?: "no";

	if (streq(text, "on-success"))
		return u->result && streq(u->result, "success");
	return streq(text, "yes");
}

static int compare_names(const void *a, const void *b)
{
	const struct luo_manager_unit *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Moves the units that have something into an array. */
static int take_units(struct survey *s, struct luo_manager_unit **ret, size_t *ret_n)
{
	struct luo_manager_unit *units = calloc(s->n + 1, sizeof(*units));
	size_t n = 0;

	if (!units)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++) {
		struct luo_manager_unit *u = &s->candidates[i].unit;

		if (u->n_said == 0)
			continue;
		u->preserve = is_preserved(u);
		/* The connection broke before it was asked for. */
		if (!u->error && !u->fds && s->incomplete)
			u->error = s->incomplete;
		units[n++] = *u;
		*u = (struct luo_manager_unit){ 0 };
	}
	qsort(units, n, sizeof(*units), compare_names);
	*ret = units;
	*ret_n = n;
	return 0;
}

static void survey_done(struct survey *s)
{
	for (size_t i = 0; i < s->n_slots; i++)
		sd_bus_slot_unref(s->slots[i]);
	free(s->slots);
	for (size_t i = 0; i < s->n; i++) {
		unit_done(&s->candidates[i].unit);
		free(s->candidates[i].path);
	}
	free(s->candidates);
}

int luo_manager_stores(sd_bus *bus, uint64_t deadline, struct luo_manager_unit **ret_units,
		       size_t *ret_n, int *ret_incomplete)
{
	struct survey s = { .bus = bus, .deadline = deadline };
	int r;

	r = list_services(&s);
	if (r >= 0) {
		r = ask_for_counts(&s);
		if (r >= 0)
			r = ask_for_stores(&s);
		if (r == -ENOMEM) {
			survey_done(&s);
			return r;
		}
		if (r < 0)
			note_incomplete(&s, NULL, r);
		r = take_units(&s, ret_units, ret_n);
	}
	survey_done(&s);
	if (r >= 0 && ret_incomplete)
		*ret_incomplete = s.incomplete;
	return r < 0 ? r : 0;
}

/* ---- keeping units loaded -------------------------------------------------------------------- */

static int ask_for_preserve(struct survey *s)
{
	int r = 0;

	for (size_t i = 0; i < s->n && r >= 0; i++)
		r = ask_property(s, i, "FileDescriptorStorePreserve", on_preserve);
	return r < 0 ? r : survey_wait(s, 0);
}

/* How the service will end is not known yet. */
static bool may_be_preserved(const struct luo_manager_unit *u)
{
	return u->preserve_text &&
	       (streq(u->preserve_text, "yes") || streq(u->preserve_text, "on-success"));
}

static int append_units(sd_bus_message *m, const struct survey *s, size_t *ret_n)
{
	size_t n = 0;
	int r;

	r = sd_bus_message_open_container(m, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", "After");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "as");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "s");
	for (size_t i = 0; i < s->n && r >= 0; i++)
		if (may_be_preserved(&s->candidates[i].unit)) {
			r = sd_bus_message_append(m, "s", s->candidates[i].unit.name);
			n++;
		}
	for (int i = 0; i < 3 && r >= 0; i++)
		r = sd_bus_message_close_container(m);
	*ret_n = n;
	return r;
}

/*
 * A slice: it has no process, and nothing to stop. It must not be below another slice, which would
 * conflict with the shutdown. After= is the weakest dependency that counts as a reference; where
 * the services are being stopped already, the slice waits for that with a job, which keeps it
 * loaded, too.
 */
static int start_slice(struct survey *s, size_t *ret_n)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	char name[64];
	int r;

	snprintf(name, sizeof(name), "luopin%" PRIu64 ".slice", now_usec(CLOCK_BOOTTIME));
	r = sd_bus_message_new_method_call(s->bus, &m, MANAGER_NAME, MANAGER_PATH,
					   MANAGER_INTERFACE, "StartTransientUnit");
	/* Another mode would weigh its dependencies against what is being stopped. */
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", name, "ignore-dependencies");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)", "Description", "s",
					  "Units Whose File Descriptor Stores Are Kept",
					  "DefaultDependencies", "b", 0);
	if (r >= 0)
		r = append_units(m, s, ret_n);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r < 0 || *ret_n == 0)
		return r;
	return sd_bus_call(s->bus, m, time_left(s), NULL, NULL);
}

int luo_manager_pin(sd_bus *bus, uint64_t deadline, size_t *ret_n)
{
	struct survey s = { .bus = bus, .deadline = deadline };
	int r;

	r = list_services(&s);
	if (r >= 0)
		r = ask_for_preserve(&s);
	if (r >= 0)
		r = start_slice(&s, ret_n);
	survey_done(&s);
	return r < 0 ? r : 0;
}

/* ---- stopping everything --------------------------------------------------------------------- */

/*
 * A service that comes after shutdown.target, and that shutdown.target does not stop: so it begins
 * when everything has stopped, and stays. It has After= to all with a store, which keeps them
 * loaded from the moment its job is there.
 *
 * It is no slice, as above: systemd loads a slice before it knows that it is to have no default
 * dependencies, and then stops it with the others. And it is in the root slice, because all others
 * are stopped.
 */
static int start_last_service(struct survey *s, const char *name, size_t *ret_n)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(s->bus, &m, MANAGER_NAME, MANAGER_PATH,
					   MANAGER_INTERFACE, "StartTransientUnit");
	/* As an exit does: nothing may be started again meanwhile. */
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", name, "replace-irreversibly");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = sd_bus_message_append(
			m, "(sv)(sv)(sv)(sv)(sv)", "Description", "s",
			"All Services Have Stopped, Their File Descriptor Stores Are Kept",
			"DefaultDependencies", "b", 0, "Slice", "s", "-.slice", "Type", "s",
			"oneshot", "RemainAfterExit", "b", 1);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)(sv)", "Requires", "as", 1, "shutdown.target",
					  "After", "as", 1, "shutdown.target", "ExecStart",
					  "a(sasb)", 1, "/bin/true", 1, "/bin/true", 0);
	if (r >= 0)
		r = append_units(m, s, ret_n);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r < 0 || *ret_n == 0)
		return r;
	return sd_bus_call(s->bus, m, time_left(s), NULL, NULL);
}

int luo_manager_stop_services(sd_bus *bus, uint64_t deadline, size_t *ret_n)
{
	struct survey s = { .bus = bus, .deadline = deadline };
	char name[64];
	int r;

	snprintf(name, sizeof(name), "luo-stopped-%" PRIu64 ".service", now_usec(CLOCK_BOOTTIME));
	*ret_n = 0;
	r = list_services(&s);
	if (r >= 0)
		r = ask_for_preserve(&s);
	if (r >= 0)
		r = start_last_service(&s, name, ret_n);
	if (r >= 0 && *ret_n > 0)
		r = luo_manager_wait(bus, name, deadline);
	survey_done(&s);
	return r < 0 ? r : 0;
}
