/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Writes stores into sessions, the last step before the kexec.
 *
 * The plan (commit-plan.c) decides everything first. Then the sessions are made in one visit to the
 * device, each distinct file is preserved, and the mapping is written last: a session with a
 * mapping is complete. After any failure, closing the session fds undoes everything.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <luo/inspect.h>
#include <luo/memfd.h>
#include <luo/session.h>

#include "libluo/handover/commit-plan.h"
#include "libluo/handover/fixup.h"
#include "libluo/handover/spill.h"
#include "libluo/store/internal.h"
#include "common/sized-struct.h"
#include "common/util.h"

#define OPTIONS_FIRST_SIZE SIZE_UP_TO(struct luo_commit_options, userdata)
#define RESULT_FIRST_SIZE  SIZE_UP_TO(struct luo_commit_result, usec)
#define SUMMARY_FIRST_SIZE SIZE_UP_TO(struct luo_commit_summary, usec)

struct luo_commit {
	struct luo_commit_plan plan;
	struct luo_spill spill;
	char *mapping;
	size_t mapping_size;
	unsigned flags;
	size_t extents_left;
	struct luo_commit_summary summary;
};

static void set_failed(struct luo_commit_item *item, struct luo_commit_result *result, int error,
		       const char *reason)
{
	result->result = LUO_RESULT_FAILED;
	result->error = error;
	result->reason = reason;
	item->travels = false;
}

static const char *reason_of_preserve(int error)
{
	switch (error) {
	case -EBUSY:
		return "it is in another session already";
	case -EOPNOTSUPP:
		return "it has a seal that the kernel does not know how to keep";
	case -ENOMEM:
		return "the kernel does not have enough memory for it";
	case -EFBIG:
		return "it is larger than the kernel can preserve";
	case -EBADF:
		return "its file descriptor is not open";
	default:
		return "the kernel refused it";
	}
}

/* The kernel treats it as a kind that it cannot preserve, although it has seals: hugetlb. */
static void explain_not_preservable(struct luo_commit_item *item, struct luo_commit_result *result)
{
	struct luo_fd_info info = { .struct_size = sizeof(info) };

	item->travels = false;
	result->result = LUO_RESULT_NOT_PRESERVABLE;
	result->reason = "a kind of file that the kernel cannot preserve";
	if (luo_fd_inspect(item->entry->fd, &info) >= 0 && info.reason)
		result->reason = info.reason;
}

static int preserve_item(struct luo_commit *commit, struct luo_commit_item *item,
			 struct luo_commit_result *result)
{
	uint64_t begin;
	int r;

	r = luo_spill_next(&commit->spill, &item->session, &item->token);
	if (r < 0)
		return r;

	begin = now_usec(CLOCK_MONOTONIC);
	r = luo_session_preserve_fd(commit->spill.fds[item->session],
				    item->copy_fd >= 0 ? item->copy_fd : item->entry->fd,
				    item->token);
	result->usec += now_usec(CLOCK_MONOTONIC) - begin;
	if (r == -ENOSPC)
		return r;
	if (r >= 0) {
		luo_spill_took(&commit->spill);
		result->bytes = item->size;
		if (item->copy_fd >= 0) {
			result->result = LUO_RESULT_COPIED;
			result->reason =
				item->meta.packed
					? "is carried packed, so that its holes stay holes"
					: "is carried as a copy, because the kernel would restore it read-only";
		}
	} else if (r == -ENOENT)
		explain_not_preservable(item, result);
	else
		set_failed(item, result, r, reason_of_preserve(r));
	/* The session holds its own reference to the copy. */
	item->copy_fd = safe_close(item->copy_fd);
	return 0;
}

/*
 * ENOSPC may refer to the session, which has a limit before kernel 7.2, or to the file: its file
 * system or quota is full, so its holes cannot be filled. An empty memfd tells: if it can be
 * preserved, the session is not full. It stays in the session under a token that no entry names.
 */
static int settle_no_space(struct luo_commit *commit, struct luo_commit_item *item,
			   struct luo_commit_result *result)
{
	_cleanup_close_ int probe = -EBADF;
	int r;

	r = luo_memfd_create(
		&(struct luo_memfd_options){ .struct_size = sizeof(struct luo_memfd_options),
					     .name = "luo-probe" },
		&probe);
	if (r >= 0)
		r = luo_session_preserve_fd(commit->spill.fds[item->session], probe, item->token);
	if (r == -ENOSPC)
		return luo_spill_full(&commit->spill);
	if (r < 0)
		return r;
	luo_spill_took(&commit->spill);
	item->copy_fd = safe_close(item->copy_fd);
	set_failed(item, result, -ENOSPC,
		   "its holes cannot be filled: its file system or quota is full");
	return 0;
}

/* -EAGAIN: the main session holds fewer files than assumed; everything was undone, try again. */
static int preserve_all(struct luo_commit *commit)
{
	for (size_t i = 0; i < commit->plan.n; i++) {
		struct luo_commit_item *item = &commit->plan.items[i];
		struct luo_commit_result *result = &commit->plan.results[i];
		const char *reason = NULL;
		int r;

		if (result->result != LUO_RESULT_PRESERVED)
			continue;

		r = luo_commit_item_prepare(item, commit->flags, &commit->extents_left, &reason);
		if (r < 0) {
			set_failed(item, result, r, reason);
			continue;
		}
		do {
			r = preserve_item(commit, item, result);
			if (r == -ENOSPC)
				r = settle_no_space(commit, item, result);
		} while (r == 1);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Each attempt starts from the plan. */
static void forget_attempt(struct luo_commit *commit)
{
	for (size_t i = 0; i < commit->plan.n; i++) {
		struct luo_commit_item *item = &commit->plan.items[i];
		struct luo_commit_result *result = &commit->plan.results[i];

		if (result->result != LUO_RESULT_PRESERVED && result->result != LUO_RESULT_COPIED)
			continue;
		item->copy_fd = safe_close(item->copy_fd);
		item->meta.packed = false;
		free(TAKE_PTR(item->meta.extents));
		item->meta.n_extents = 0;
		item->meta.known &= ~(unsigned)(LUO_META_SEALS | LUO_META_OFFSET);
		result->result = LUO_RESULT_PRESERVED;
		result->reason = NULL;
		result->bytes = 0;
	}
}

static void settle_aliases(struct luo_commit *commit)
{
	for (size_t i = 0; i < commit->plan.n; i++) {
		struct luo_commit_item *item = &commit->plan.items[i];
		struct luo_commit_result *result = &commit->plan.results[i];
		const struct luo_commit_result *primary;

		if (!item->primary)
			continue;
		if (item->primary->travels) {
			item->session = item->primary->session;
			item->token = item->primary->token;
			continue;
		}
		primary = &commit->plan.results[item->primary - commit->plan.items];
		result->result = primary->result;
		result->error = primary->error;
		result->reason = primary->reason;
		result->alias_of = NULL;
		item->travels = false;
	}
}

static int copy_text(const char *from, char **to)
{
	char *copy;

	if (!from || *to)
		return 0;
	copy = strdup(from);
	if (!copy)
		return -ENOMEM;
	*to = copy;
	return 0;
}

static int map_unit(struct luo_mapping *mapping, const struct luo_unit *from,
		    struct luo_unit **ret_unit)
{
	struct luo_unit *unit;
	int r;

	r = luo_store_add_unit(mapping->store, from->name, from->cgroup, &unit);
	if (r < 0)
		return r;
	if (from->fdstore_max > unit->fdstore_max)
		unit->fdstore_max = from->fdstore_max;
	r = copy_text(from->extra, &unit->extra);
	if (r < 0)
		return r;
	*ret_unit = unit;
	return 0;
}

/*
 * This mapping is only written. Its entries borrow from the items, so that nothing is copied inside
 * the blackout.
 */
static int map_item(struct luo_unit *unit, struct luo_commit_item *item, enum luo_result result)
{
	struct luo_entry *entry = &item->mapped;
	int r;

	*entry = (struct luo_entry){
		.name = item->entry->name,
		.type = result == LUO_RESULT_SESSION ? LUO_ENTRY_SESSION : LUO_ENTRY_FD,
		.fd = -EBADF,
		.session = item->session,
		.token = item->token,
		.alias = result == LUO_RESULT_ALIAS,
		.meta = item->meta,
		.extra = item->entry->extra,
		.poll = item->entry->poll,
	};
	if (result == LUO_RESULT_SESSION) {
		r = luo_session_get_name(item->entry->fd, &item->session_name);
		if (r < 0)
			return r;
		entry->session_name = item->session_name;
	}
	return luo_unit_borrow_entry(unit, entry);
}

static int build_mapping(struct luo_commit *commit, const struct luo_commit_options *options,
			 struct luo_mapping *mapping)
{
	struct luo_unit *unit = NULL, *from = NULL;
	int r;

	if (options->state) {
		r = luo_mapping_state_read(options->state, &mapping->state);
		if (r < 0)
			return r;
	}
	if (options->previous) {
		r = copy_text(options->previous->extra, &mapping->extra);
		if (r >= 0)
			r = copy_text(options->previous->state_extra, &mapping->state_extra);
		if (r < 0)
			return r;
	}
	r = luo_spill_list(&commit->spill, &mapping->spills, &mapping->n_spills);
	if (r < 0)
		return r;

	for (size_t i = 0; i < commit->plan.n; i++) {
		struct luo_commit_item *item = &commit->plan.items[i];

		if (!item->travels)
			continue;
		if (item->entry->unit != from) {
			from = item->entry->unit;
			r = map_unit(mapping, from, &unit);
			if (r < 0)
				return r;
		}
		r = map_item(unit, item, commit->plan.results[i].result);
		if (r < 0)
			return r;
	}
	return 0;
}

static void mapping_freep(struct luo_mapping **mapping)
{
	struct luo_unit *unit;

	if (!*mapping)
		return;
	LUO_FOREACH_UNIT (unit, (*mapping)->store)
		luo_unit_return_entries(unit);
	luo_mapping_free(*mapping);
}

static int write_mapping(struct luo_commit *commit, const struct luo_commit_options *options)
{
	_cleanup_(mapping_freep) struct luo_mapping *mapping = NULL;
	_cleanup_close_ int fd = -EBADF;
	unsigned format = options->flags & LUO_COMMIT_V261 ? LUO_MAPPING_FORMAT_V261 : 0;
	int r;

	r = luo_mapping_new(&mapping);
	if (r < 0)
		return r;
	r = build_mapping(commit, options, mapping);
	if (r < 0)
		return r;
	/* Our own reader would refuse it, so it must not be written. */
	if (luo_store_n_units(mapping->store) > LUO_MAPPING_UNITS_MAX ||
	    luo_store_n_entries(mapping->store) > LUO_MAPPING_ENTRIES_MAX)
		return -E2BIG;
	/* The report and the document for the next kernel must agree. */
	if (luo_store_n_entries(mapping->store) != commit->summary.preserved)
		return -EPROTO;
	free(TAKE_PTR(commit->mapping));
	r = luo_mapping_format(mapping, format, &commit->mapping, &commit->mapping_size);
	if (r < 0)
		return r;
	if (commit->mapping_size > LUO_MAPPING_SIZE_MAX)
		return -E2BIG;
	r = luo_memfd_new_sealed("luo-mapping", commit->mapping, commit->mapping_size, &fd);
	if (r < 0)
		return r;
	return luo_session_preserve_fd(commit->spill.fds[0], fd, LUO_TOKEN_MAPPING);
}

static void sum_up(struct luo_commit *commit)
{
	struct luo_commit_summary *sum = &commit->summary;

	*sum = (struct luo_commit_summary){ .entries = commit->plan.n };
	for (size_t i = 0; i < commit->plan.n; i++) {
		const struct luo_commit_result *result = &commit->plan.results[i];

		if (commit->plan.items[i].travels)
			sum->preserved++;
		else
			sum->lost++;
		sum->bytes += result->bytes;
	}
}

static size_t count_files(const struct luo_commit_plan *plan)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n; i++)
		n += plan->results[i].result == LUO_RESULT_PRESERVED;
	return n;
}

static int do_commit(struct luo_commit *commit, const struct luo_commit_options *options)
{
	int r;

	r = luo_spill_open(&commit->spill,
			   options->session_name ? options->session_name : LUO_DEFAULT_SESSION,
			   options->max_files_per_session, count_files(&commit->plan),
			   options->device_timeout_usec);
	while (r >= 0) {
		commit->extents_left = LUO_COMMIT_EXTENTS_MAX;
		r = preserve_all(commit);
		if (r >= 0) {
			luo_spill_trim(&commit->spill);
			settle_aliases(commit);
			sum_up(commit);
			r = write_mapping(commit, options);
			/*
			 * The session is exactly full: it has every file, and no room for the
			 * mapping.
			 */
			if (r == -ENOSPC)
				r = luo_spill_main_full(&commit->spill);
		}
		if (r != -EAGAIN)
			break;
		forget_attempt(commit);
		r = luo_spill_reopen(&commit->spill, count_files(&commit->plan));
	}
	return r;
}

_public_ int luo_commit_new(struct luo_store *const *stores, size_t n_stores,
			    const struct luo_commit_options *options,
			    struct luo_commit **ret_commit)
{
	struct luo_commit_options o = { .struct_size = sizeof(o) };
	uint64_t begin = now_usec(CLOCK_MONOTONIC);
	struct luo_commit *commit;
	int r = 0;

	if ((n_stores > 0 && !stores) || !ret_commit)
		return -EINVAL;
	if (options)
		r = sized_struct_read(options, OPTIONS_FIRST_SIZE, &o, sizeof(o));
	if (r < 0)
		return r;
	if (o.session_name && !luo_session_name_is_valid(o.session_name))
		return -EINVAL;
	if (o.flags & ~(unsigned)(LUO_COMMIT_V261 | LUO_COMMIT_NO_PACK))
		return -EINVAL;

	commit = calloc(1, sizeof(*commit));
	if (!commit)
		return -ENOMEM;
	commit->flags = o.flags;

	r = luo_commit_plan_make(stores, n_stores, &o, &commit->plan);
	if (r >= 0)
		r = do_commit(commit, &o);
	if (r < 0) {
		luo_commit_free(commit);
		return r;
	}
	commit->summary.usec = now_usec(CLOCK_MONOTONIC) - begin;
	*ret_commit = commit;
	return 0;
}

_public_ struct luo_commit *luo_commit_free(struct luo_commit *commit)
{
	if (!commit)
		return NULL;
	luo_spill_close(&commit->spill);
	luo_commit_plan_clear(&commit->plan);
	free(commit->mapping);
	free(commit);
	return NULL;
}

_public_ const int *luo_commit_sessions(const struct luo_commit *commit, size_t *ret_n)
{
	if (ret_n)
		*ret_n = commit ? commit->spill.n : 0;
	return commit ? commit->spill.fds : NULL;
}

_public_ size_t luo_commit_n_results(const struct luo_commit *commit)
{
	return commit ? commit->plan.n : 0;
}

_public_ int luo_commit_result_at(const struct luo_commit *commit, size_t index,
				  struct luo_commit_result *ret_result)
{
	const struct luo_commit_result *result;

	if (!commit)
		return -EINVAL;
	if (index >= commit->plan.n)
		return -ENOENT;
	result = &commit->plan.results[index];
	return sized_struct_return(ret_result, RESULT_FIRST_SIZE, result, sizeof(*result));
}

_public_ const char *luo_commit_mapping(const struct luo_commit *commit, size_t *ret_size)
{
	if (ret_size)
		*ret_size = commit ? commit->mapping_size : 0;
	return commit ? commit->mapping : NULL;
}

_public_ int luo_commit_get_summary(const struct luo_commit *commit,
				    struct luo_commit_summary *ret_summary)
{
	if (!commit)
		return -EINVAL;
	return sized_struct_return(ret_summary, SUMMARY_FIRST_SIZE, &commit->summary,
				   sizeof(commit->summary));
}

_public_ const char *luo_result_to_string(enum luo_result result)
{
	static const char *const names[] = {
		[LUO_RESULT_PRESERVED] = "preserved",
		[LUO_RESULT_COPIED] = "copied",
		[LUO_RESULT_ALIAS] = "alias",
		[LUO_RESULT_SESSION] = "session",
		[LUO_RESULT_NOT_PRESERVABLE] = "not-preservable",
		[LUO_RESULT_FAILED] = "failed",
	};

	if ((size_t)result >= ELEMENTSOF(names))
		return "unknown";
	return names[result];
}
