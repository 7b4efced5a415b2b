/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The methods of io.luo for which the library has a function. */

#include <luo/store.h>

#include "common/json.h"
#include "common/util.h"
#include "libluo/client/internal.h"

/* NULL lets luod choose the caller's unit. */
static bool unit_is_ok(const char *unit)
{
	return !unit || luo_unit_name_is_valid(unit);
}

static bool name_is_ok(const char *name)
{
	return !name || luo_fdname_is_valid(name);
}

/* NULL if there is no memory, which must not be taken for "no parameters". */
static struct json_object *parameters_of(const char *unit, const char *name)
{
	struct json_object *o = json_object_new_object();

	if (unit)
		json_add_string(o, "unit", unit);
	if (name)
		json_add_string(o, "name", name);
	return o;
}

_public_ int luo_client_register(struct luo_client *c, const char *unit, unsigned fdstore_max)
{
	struct json_object *parameters;
	struct luo_reply reply;
	int r;

	if (!c || !unit || !luo_unit_name_is_valid(unit))
		return -EINVAL;
	parameters = parameters_of(unit, NULL);
	if (!parameters)
		return -ENOMEM;
	if (fdstore_max > 0)
		json_add_number(parameters, "fdstoreMax", fdstore_max);
	r = luo_client_call_object(c, "io.luo.Register", parameters, NULL, 0, &reply);
	if (r < 0)
		return r;
	luo_reply_done(&reply);
	return 0;
}

struct claimed_entry {
	char *name;
	int fd; /* -EBADF: lost, or taken */
};

struct luo_claimed {
	struct claimed_entry *entries;
	size_t n;
};

/* Moves the fd out of the message. A lost entry has no fd. */
static int take_entry_fd(struct json_object *entry, struct luo_varlink_message *message,
			 int *ret_fd)
{
	int64_t i;

	if (!json_get_int(entry, "fileDescriptor", &i)) {
		*ret_fd = -EBADF;
		return 0;
	}
	if (i < 0 || (uint64_t)i >= message->n_fds || message->fds[i] < 0)
		return -EBADMSG;
	*ret_fd = TAKE_FD(message->fds[i]);
	return 0;
}

static int claim_entry(struct luo_claimed *claim, struct json_object *entry,
		       struct luo_varlink_message *message)
{
	struct claimed_entry *to = &claim->entries[claim->n];
	const char *name = json_string(entry, "name");
	int r;

	if (!name)
		return -EBADMSG;
	to->name = strdup(name);
	if (!to->name)
		return -ENOMEM;
	r = take_entry_fd(entry, message, &to->fd);
	if (r < 0) {
		free(to->name);
		return r;
	}
	claim->n++;
	return 0;
}

static int claim_reply(struct luo_reply *reply, void *userdata)
{
	struct luo_claimed *claim = userdata;
	struct claimed_entry *more;
	struct json_object *entries;
	size_t n;
	int r;

	if (!json_object_object_get_ex(reply->parameters, "entries", &entries) ||
	    !json_object_is_type(entries, json_type_array))
		return -EBADMSG;
	n = json_object_array_length(entries);
	more = reallocarray(claim->entries, claim->n + n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	claim->entries = more;
	for (size_t i = 0; i < n; i++) {
		r = claim_entry(claim, json_object_array_get_idx(entries, i), &reply->message);
		if (r < 0)
			return r;
	}
	return 0;
}

_public_ int luo_client_claim(struct luo_client *c, const char *unit,
			      struct luo_claimed **ret_claimed)
{
	struct json_object *parameters;
	struct luo_claimed *claimed;
	int r;

	if (!c || !ret_claimed || !unit_is_ok(unit))
		return -EINVAL;
	parameters = parameters_of(unit, NULL);
	if (!parameters)
		return -ENOMEM;
	claimed = calloc(1, sizeof(*claimed));
	if (!claimed) {
		json_object_put(parameters);
		return -ENOMEM;
	}
	r = luo_client_call_more_object(c, "io.luo.Claim", parameters, claim_reply, claimed);
	if (r < 0) {
		luo_claimed_free(claimed);
		return r;
	}
	*ret_claimed = claimed;
	return 0;
}

_public_ size_t luo_claimed_n(const struct luo_claimed *claimed)
{
	return claimed ? claimed->n : 0;
}

_public_ const char *luo_claimed_get_name(const struct luo_claimed *claimed, size_t index)
{
	return claimed && index < claimed->n ? claimed->entries[index].name : NULL;
}

_public_ int luo_claimed_get_fd(const struct luo_claimed *claimed, size_t index)
{
	if (!claimed)
		return -EINVAL;
	return index < claimed->n ? claimed->entries[index].fd : -ENOENT;
}

_public_ int luo_claimed_take_fd(struct luo_claimed *claimed, size_t index)
{
	if (!claimed)
		return -EINVAL;
	return index < claimed->n ? TAKE_FD(claimed->entries[index].fd) : -ENOENT;
}

_public_ struct luo_claimed *luo_claimed_free(struct luo_claimed *claimed)
{
	if (!claimed)
		return NULL;
	for (size_t i = 0; i < claimed->n; i++) {
		safe_close(claimed->entries[i].fd);
		free(claimed->entries[i].name);
	}
	free(claimed->entries);
	free(claimed);
	return NULL;
}

_public_ int luo_client_open_entry(struct luo_client *c, const char *unit, const char *name,
				   size_t nth, int *ret_fd)
{
	struct json_object *parameters, *entry;
	struct luo_reply reply;
	int fd = -EBADF, r;

	if (!c || !name || !ret_fd || !unit_is_ok(unit) || !name_is_ok(name) || nth > INT32_MAX)
		return -EINVAL;
	parameters = parameters_of(unit, name);
	if (!parameters)
		return -ENOMEM;
	json_add_number(parameters, "nth", nth);
	r = luo_client_call_object(c, "io.luo.OpenEntry", parameters, NULL, 0, &reply);
	if (r < 0)
		return r;
	if (json_object_object_get_ex(reply.parameters, "entry", &entry))
		r = take_entry_fd(entry, &reply.message, &fd);
	if (r == 0 && fd < 0)
		r = -EBADMSG;
	luo_reply_done(&reply);
	if (r == 0)
		*ret_fd = fd;
	return r;
}

_public_ int luo_client_drop(struct luo_client *c, const char *unit, const char *name,
			     uint64_t *ret_entries, uint64_t *ret_bytes)
{
	struct json_object *parameters;
	int64_t entries, bytes;
	struct luo_reply reply;
	int r;

	if (!c || !unit_is_ok(unit) || !name_is_ok(name))
		return -EINVAL;
	parameters = parameters_of(unit, name);
	if (!parameters)
		return -ENOMEM;
	r = luo_client_call_object(c, "io.luo.Drop", parameters, NULL, 0, &reply);
	if (r < 0)
		return r;
	if (!json_get_int(reply.parameters, "dropped", &entries) || entries < 0 ||
	    !json_get_int(reply.parameters, "bytes", &bytes) || bytes < 0)
		r = -EBADMSG;
	luo_reply_done(&reply);
	if (r < 0)
		return r;
	if (ret_entries)
		*ret_entries = (uint64_t)entries;
	if (ret_bytes)
		*ret_bytes = (uint64_t)bytes;
	return 0;
}
