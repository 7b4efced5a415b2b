/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The mapping as an object; parsing and formatting stand in files of their own. */

#include <sys/stat.h>

#include "libluo/mapping/internal.h"
#include "common/sized-struct.h"

#define STATE_FIRST_SIZE SIZE_UP_TO(struct luo_mapping_state, shutdown_late_finish)

static const char *const generations[] = {
	[LUO_MAPPING_DRAFT] = "draft",
	[LUO_MAPPING_V261] = "v261",
	[LUO_MAPPING_V262] = "v262",
};

_public_ const char *luo_mapping_generation_to_string(enum luo_mapping_generation generation)
{
	if ((unsigned)generation >= ELEMENTSOF(generations))
		return "unknown";
	return generations[generation];
}

bool mapping_session_name_is_valid(const char *name)
{
	return name && name[0] && strlen(name) <= LUO_SESSION_NAME_MAX;
}

_public_ int luo_mapping_new(struct luo_mapping **ret_mapping)
{
	struct luo_mapping *mapping;
	int r;

	if (!ret_mapping)
		return -EINVAL;
	mapping = calloc(1, sizeof(*mapping));
	if (!mapping)
		return -ENOMEM;
	r = luo_store_new(&mapping->store);
	if (r < 0) {
		free(mapping);
		return r;
	}
	mapping->generation = LUO_MAPPING_V262;
	mapping->version = MAPPING_VERSION;
	*ret_mapping = mapping;
	return 0;
}

_public_ struct luo_mapping *luo_mapping_free(struct luo_mapping *mapping)
{
	if (!mapping)
		return NULL;
	luo_store_free(mapping->store);
	for (size_t i = 0; i < mapping->n_spills; i++)
		free(mapping->spills[i]);
	free(mapping->spills);
	mapping_issues_free(mapping);
	free(mapping->extra);
	free(mapping->state_extra);
	free(mapping);
	return NULL;
}

/* ---- what a user may know ---- */

_public_ enum luo_mapping_generation luo_mapping_get_generation(const struct luo_mapping *mapping)
{
	return mapping ? mapping->generation : LUO_MAPPING_DRAFT;
}

_public_ uint64_t luo_mapping_get_version(const struct luo_mapping *mapping)
{
	return mapping ? mapping->version : 0;
}

_public_ struct luo_store *luo_mapping_get_store(const struct luo_mapping *mapping)
{
	return mapping ? mapping->store : NULL;
}

_public_ int luo_mapping_get_state(const struct luo_mapping *mapping,
				   struct luo_mapping_state *ret_state)
{
	if (!mapping)
		return -EINVAL;
	return sized_struct_return(ret_state, STATE_FIRST_SIZE, &mapping->state,
				   sizeof(mapping->state));
}

int luo_mapping_state_read(const struct luo_mapping_state *from, struct luo_mapping_state *to)
{
	return sized_struct_read(from, STATE_FIRST_SIZE, to, sizeof(*to));
}

_public_ int luo_mapping_set_state(struct luo_mapping *mapping,
				   const struct luo_mapping_state *state)
{
	return mapping ? luo_mapping_state_read(state, &mapping->state) : -EINVAL;
}

_public_ size_t luo_mapping_n_spills(const struct luo_mapping *mapping)
{
	return mapping ? mapping->n_spills : 0;
}

_public_ const char *luo_mapping_spill_at(const struct luo_mapping *mapping, size_t index)
{
	return mapping && index < mapping->n_spills ? mapping->spills[index] : NULL;
}

_public_ size_t luo_mapping_n_issues(const struct luo_mapping *mapping)
{
	return mapping ? mapping->n_all_issues : 0;
}

_public_ int luo_mapping_issue_at(const struct luo_mapping *mapping, size_t index,
				  const char **ret_where, const char **ret_what)
{
	if (!mapping)
		return -EINVAL;
	if (index >= mapping->n_issues)
		return -ENOENT;
	if (ret_where)
		*ret_where = mapping->issues[index].where;
	if (ret_what)
		*ret_what = mapping->issues[index].what;
	return 0;
}

/* ---- from a file ---- */

static size_t first_guess(const struct stat *st)
{
	if (!S_ISREG(st->st_mode) || st->st_size <= 0)
		return 64 * 1024; /* as in /proc, where the size is not said */
	return (size_t)st->st_size + 1;
}

/* pread(2), not mmap(2): a file that is shortened meanwhile must not raise SIGBUS. */
static int read_all(int fd, size_t allocate, char **ret_text, size_t *ret_size)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	ssize_t n;

	for (;;) {
		char *p = realloc(text, allocate);

		if (!p)
			return -ENOMEM;
		text = p;
		n = pread(fd, text + size, allocate - size, (off_t)size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
		if (size > LUO_MAPPING_SIZE_MAX)
			return -E2BIG;
		if (size == allocate)
			allocate = MIN2(allocate * 2, (size_t)LUO_MAPPING_SIZE_MAX + 1);
	}
	*ret_text = TAKE_PTR(text);
	*ret_size = size;
	return 0;
}

/* A failure keeps its reason even if there is no memory to say it in. */
static int fail(int r, const char *what, char **ret_reason)
{
	if (ret_reason)
		*ret_reason = strdup(what);
	return r;
}

_public_ int luo_mapping_read_fd(int fd, struct luo_mapping **ret_mapping, char **ret_reason)
{
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t size = 0;
	int r;

	if (!ret_mapping)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return fail(-errno, "it cannot be read", ret_reason);
	if (S_ISREG(st.st_mode) && st.st_size > (off_t)LUO_MAPPING_SIZE_MAX)
		return fail(-E2BIG, "larger than 64 MiB", ret_reason);
	r = read_all(fd, first_guess(&st), &text, &size);
	if (r < 0)
		return fail(r, r == -E2BIG ? "larger than 64 MiB" : "it cannot be read",
			    ret_reason);
	return luo_mapping_parse(text, size, ret_mapping, ret_reason);
}
