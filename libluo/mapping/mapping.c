/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The mapping as an object, and reading it from a file. parse.c and format.c convert it. */

#include <sys/stat.h>

#include "libluo/mapping/internal.h"

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

/* ---- from a file ---- */

static size_t first_guess(const struct stat *st)
{
	if (!S_ISREG(st->st_mode) || st->st_size <= 0)
		return 64 * 1024; /* unknown size, as for files in /proc */
	return (size_t)st->st_size + 1;
}

/* pread(2) instead of mmap(2), because a file that is shortened meanwhile must not raise SIGBUS. */
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
