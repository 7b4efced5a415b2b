/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The side of luod. It may be starting, or be killed and started again, at any moment. */

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>

#include <luo/store.h>

#include "libluo/client/internal.h"
#include "common/json.h"
#include "common/read-file.h"
#include "common/util.h"
#include "shutdown-hook/restore.h"

#define CALL_TIMEOUT (30 * USEC_PER_SEC)
#define PAUSE_NSEC   (50 * USEC_PER_MSEC * NSEC_PER_USEC)
#define FDS_MAX      65536

static void fd_done(struct restore_fd *fd)
{
	safe_close(fd->fd);
	free(fd->name);
	free(fd->reason);
	free(fd->path);
}

void restore_fds_done(struct restore_fds *fds)
{
	for (size_t i = 0; i < fds->n; i++)
		fd_done(&fds->items[i]);
	free(fds->items);
	*fds = (struct restore_fds){ 0 };
}

/* ---- calls ----------------------------------------------------------------------------------- */

struct call {
	const char *method;
	struct json_object *parameters; /* borrowed */
	luo_reply_fn reply;
	void (*restart)(void *userdata); /* forget what the replies of a broken call have brought */
	void *userdata;
};

static bool is_transient(int error, bool said_by_luod)
{
	if (said_by_luod)
		return error == -EBUSY;
	return error == -ENOENT || error == -ECONNREFUSED || error == -ECONNRESET ||
	       error == -EPIPE;
}

/*
 * PID 1 keeps luod's socket open while luod is away, so a connection says nothing, and nobody may
 * ever answer. One that is only busy with the other units is worth waiting for.
 */
static bool luod_is_there(void)
{
	_cleanup_free_ char *text = NULL;
	size_t size;

	return read_file("/sys/fs/cgroup/system.slice/luod.service/cgroup.events", 4096, &text,
			 &size) == 0 &&
	       strstr(text, "populated 1");
}

static const char *meaning(int error)
{
	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED:
		return "luod is not running";
	case -ECONNRESET:
	case -EPIPE:
		return "luod has gone in the middle of a call, several times";
	case -ETIMEDOUT:
		return "luod does not answer";
	case -EBADMSG:
		return "the answer of luod cannot be understood";
	default:
		return strerror(-error);
	}
}

static int explain(const struct restore *restore, struct luo_client *client, int error)
{
	const char *name = NULL, *text = NULL;
	size_t n;

	if (client)
		luo_client_error(client, &name, &text);
	if (name && streq(name, "io.luo.NoSuchUnit"))
		return -ENOENT;
	if (!text)
		text = name ?: meaning(error);
	n = strlen(text);
	if (n > 0 && text[n - 1] == '.')
		n--;
	restore_say(LOG_ERR, "%s: %.*s. What luod has for it stays there.", restore->unit, (int)n,
		    text);
	return error == -ENOENT ? -ECONNREFUSED : error;
}

static int call_once(const struct restore *restore, uint64_t timeout_usec, struct call *call,
		     struct luo_client **client)
{
	char path[PATH_MAX];
	int r = 0;

	snprintf(path, sizeof(path), "%s/" LUO_SOCKET_NAME, restore->runtime_dir);
	if (!*client)
		r = luo_client_connect(path, timeout_usec, client);
	if (r < 0)
		return r;
	call->restart(call->userdata);
	return luo_client_call_more_object(*client, call->method, json_object_get(call->parameters),
					   call->reply, call->userdata);
}

/* -ENOENT: luod knows nothing of the unit. Everything else that is negative has been said. */
static int call_luod(const struct restore *restore, uint64_t timeout_usec, struct call *call)
{
	uint64_t start = now_usec(CLOCK_MONOTONIC);
	struct luo_client *client = NULL;
	int r;

	for (;;) {
		const char *name = NULL, *text;
		uint64_t waited;
		bool again;

		r = call_once(restore, timeout_usec, call, &client);
		if (r >= 0)
			break;
		if (client)
			luo_client_error(client, &name, &text);
		waited = now_usec(CLOCK_MONOTONIC) - start;
		if (r == -ETIMEDOUT && !name)
			again = waited < RESTORE_PATIENCE && luod_is_there();
		else
			again = waited < restore->timeout_usec && is_transient(r, name != NULL);
		if (!again) {
			r = explain(restore, client, r);
			break;
		}
		nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NSEC }, NULL);
	}
	luo_client_free(client);
	return r;
}

static struct json_object *parameters_of(const struct restore *restore)
{
	return json_strings("unit", restore->owner ?: restore->unit, NULL);
}

static void add_name(const struct restore *restore, struct json_object *parameters,
		     const char *name)
{
	char text[LUO_UNIT_NAME_MAX + LUO_FDNAME_MAX + 2];

	snprintf(text, sizeof(text), "%s%s", restore->owner ? restore->prefix : "", name);
	json_add_string(parameters, "name", text);
}

/* What is left of the name for the unit; NULL if it is another's. */
static const char *name_for_unit(const struct restore *restore, const char *name)
{
	if (!restore->owner)
		return name;
	return startswith(name, restore->prefix) ? name + strlen(restore->prefix) : NULL;
}

static struct json_object *entries_of(const struct luo_reply *reply)
{
	struct json_object *entries;

	return json_object_object_get_ex(reply->parameters, "entries", &entries) &&
			       json_object_is_type(entries, json_type_array)
		       ? entries
		       : NULL;
}

/* ---- ListEntries ----------------------------------------------------------------------------- */

void restore_listed_done(struct restore_listed *listed)
{
	for (size_t i = 0; i < listed->n; i++)
		free(listed->entries[i].name);
	free(listed->entries);
	*listed = (struct restore_listed){ 0 };
}

struct listing {
	const struct restore *restore;
	struct restore_listed listed;
};

static int list_entry(const struct restore *restore, struct restore_listed *listed,
		      struct json_object *e)
{
	const char *state = json_string(e, "state"), *name = json_string(e, "name");
	struct restore_entry *more;
	int64_t number;

	if (!state || !name || listed->n >= FDS_MAX)
		return -EBADMSG;
	name = name_for_unit(restore, name);
	if (streq(state, "lost") || !name)
		return 0;
	more = reallocarray(listed->entries, listed->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	listed->entries = more;
	more += listed->n;
	*more = (struct restore_entry){ .name = strdup(name) };
	if (!more->name)
		return -ENOMEM;
	listed->n++;
	if (json_get_int(e, "inode", &number))
		more->inode = (ino_t)number;
	if (json_get_int(e, "size", &number) && number > 0)
		listed->bytes += (uint64_t)number;
	return 0;
}

static void list_restart(void *userdata)
{
	struct listing *listing = userdata;

	restore_listed_done(&listing->listed);
}

static int list_reply(struct luo_reply *reply, void *userdata)
{
	struct listing *listing = userdata;
	struct json_object *entries = entries_of(reply);
	int r = entries ? 0 : -EBADMSG;

	for (size_t i = 0; r == 0 && i < json_object_array_length(entries); i++)
		r = list_entry(listing->restore, &listing->listed,
			       json_object_array_get_idx(entries, i));
	return r;
}

int restore_list(const struct restore *restore, struct restore_listed *ret)
{
	struct json_object *parameters = parameters_of(restore);
	struct listing listing = { .restore = restore };
	struct call call = { "io.luo.ListEntries", parameters, list_reply, list_restart, &listing };
	int r = -ENOMEM;

	if (parameters)
		r = call_luod(restore, MAX2(restore->timeout_usec, USEC_PER_SEC), &call);
	json_object_put(parameters);
	if (r < 0) {
		restore_listed_done(&listing.listed);
		return r;
	}
	*ret = listing.listed;
	return 0;
}

/* ---- Claim ----------------------------------------------------------------------------------- */

struct claim {
	const struct restore *restore;
	struct restore_fds fds;
	size_t n_done; /* of those, from calls that have ended */
};

static void claim_restart(void *userdata)
{
	struct claim *claim = userdata;

	while (claim->fds.n > claim->n_done)
		fd_done(&claim->fds.items[--claim->fds.n]);
}

/* Moves the fd out of the message. An entry that is lost has none. */
static int take_fd(struct json_object *entry, struct luo_varlink_message *message, int *ret)
{
	int64_t i;

	if (!json_get_int(entry, "fileDescriptor", &i)) {
		*ret = -EBADF;
		return 0;
	}
	if (i < 0 || (uint64_t)i >= message->n_fds || message->fds[i] < 0)
		return -EBADMSG;
	*ret = TAKE_FD(message->fds[i]);
	return 0;
}

static int look_at(struct restore_fd *fd)
{
	char link[64], path[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (fstat(fd->fd, &st) < 0)
		return -errno;
	fd->device = st.st_dev;
	fd->inode = st.st_ino;
	fd->mode = st.st_mode;
	fd->size = S_ISREG(st.st_mode) && st.st_size > 0 ? (uint64_t)st.st_size : 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd->fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return 0;
	path[n] = '\0';
	fd->path = strdup(path);
	return fd->path ? 0 : -ENOMEM;
}

static int claim_entry(const struct restore *restore, struct restore_fds *fds,
		       struct json_object *entry, struct luo_varlink_message *message)
{
	const char *name = json_string(entry, "name"), *reason = json_string(entry, "reason");
	struct json_object *poll = NULL;
	struct restore_fd *more;
	int r;

	if (name)
		name = name_for_unit(restore, name);
	/* It goes into a datagram, where a line feed would begin something else. */
	if (!name || !luo_fdname_is_valid(name) || fds->n >= FDS_MAX)
		return -EBADMSG;
	more = reallocarray(fds->items, fds->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	fds->items = more;
	more += fds->n++;
	*more = (struct restore_fd){ .name = strdup(name), .fd = -EBADF, .poll = true };
	if (json_object_object_get_ex(entry, "poll", &poll) &&
	    json_object_is_type(poll, json_type_boolean))
		more->poll = json_object_get_boolean(poll);
	r = more->name ? take_fd(entry, message, &more->fd) : -ENOMEM;
	if (r == 0 && more->fd >= 0)
		return look_at(more);
	if (r == 0 && reason)
		more->reason = strdup(reason);
	return r;
}

static int claim_reply(struct luo_reply *reply, void *userdata)
{
	struct claim *claim = userdata;
	struct json_object *entries = entries_of(reply);
	int r = entries ? 0 : -EBADMSG;

	for (size_t i = 0; r == 0 && i < json_object_array_length(entries); i++)
		r = claim_entry(claim->restore, &claim->fds, json_object_array_get_idx(entries, i),
				&reply->message);
	return r;
}

/* Of one name, or all if it is NULL. */
static int claim_some(struct claim *claim, const char *name, uint64_t timeout_usec)
{
	struct json_object *parameters = parameters_of(claim->restore);
	struct call call = { "io.luo.Claim", parameters, claim_reply, claim_restart, claim };
	int r = -ENOMEM;

	if (name)
		add_name(claim->restore, parameters, name);
	if (parameters)
		r = call_luod(claim->restore, timeout_usec, &call);
	json_object_put(parameters);
	claim->n_done = claim->fds.n;
	return r;
}

static bool is_first_of_name(const struct restore_listed *listed, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (streq(listed->entries[k].name, listed->entries[i].name))
			return false;
	return true;
}

/* Not what other services of the user have: that would be paid for by this one. */
static int claim_by_name(struct claim *claim, const struct restore_listed *listed,
			 uint64_t timeout_usec)
{
	int r = 0;

	for (size_t i = 0; i < listed->n && r >= 0; i++)
		if (is_first_of_name(listed, i))
			r = claim_some(claim, listed->entries[i].name, timeout_usec);
	return r;
}

int restore_claim(const struct restore *restore, const struct restore_listed *listed,
		  uint64_t timeout_usec, struct restore_fds *ret)
{
	struct claim claim = { .restore = restore };
	int r;

	r = restore->owner ? claim_by_name(&claim, listed, timeout_usec)
			   : claim_some(&claim, NULL, timeout_usec);
	if (r < 0) {
		restore_fds_done(&claim.fds);
		return r;
	}
	*ret = claim.fds;
	return 0;
}

/* ---- Drop ------------------------------------------------------------------------------------ */

static void drop_restart(void *userdata)
{
}

static int drop_reply(struct luo_reply *reply, void *userdata)
{
	return 0;
}

int restore_forget(const struct restore *restore, const char *name)
{
	struct json_object *parameters = parameters_of(restore);
	struct call call = { "io.luo.Drop", parameters, drop_reply, drop_restart, NULL };
	int r = -ENOMEM;

	if (parameters) {
		if (name)
			add_name(restore, parameters, name);
		json_add_string(parameters, "state", "stored");
		r = call_luod(restore, CALL_TIMEOUT, &call);
	}
	json_object_put(parameters);
	/* A call whose answer was lost has been heard. */
	return r == -ENOENT ? 0 : r;
}
