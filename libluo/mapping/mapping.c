/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The mapping as an object, and reading it from a file. parse.c and format.c convert it. */

#include "common/read-file.h"
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

/* A failure keeps its error code even if there is no memory for its text. */
static int fail(int r, const char *what, char **ret_reason)
{
	if (ret_reason)
		*ret_reason = strdup(what);
	return r;
}

_public_ int luo_mapping_read_fd(int fd, struct luo_mapping **ret_mapping, char **ret_reason)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int r;

	if (!ret_mapping)
		return -EINVAL;
	r = read_file_fd(fd, LUO_MAPPING_SIZE_MAX, &text, &size);
	if (r == -EFBIG)
		return fail(-E2BIG, "larger than 64 MiB", ret_reason);
	if (r < 0)
		return fail(r, "it cannot be read", ret_reason);
	return luo_mapping_parse(text, size, ret_mapping, ret_reason);
}
