/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The functions that the public headers declare, the symbols of libluo.sym, what the built library
 * exports and the man pages are the same set, and each function's "Since:" is its symbol's node.
 */

#include <ctype.h>
#include <dlfcn.h>

#include "tests/unit/helpers.h"

#define NAME_SIZE 64
#define MAX       512

struct symbol {
	char name[NAME_SIZE];
	char version[16]; /* "0.1"; "" if the header does not say */
	char header[32];  /* "session" */
};

static struct symbol declared[MAX], listed[MAX];
static size_t n_declared, n_listed;
static unsigned complaints;

static void complain(const char *name, const char *what)
{
	print_error("%s: %s\n", name, what);
	complaints++;
}

/* NULL if it is not there. */
static char *read_text(const char *path)
{
	char full[4096], *text;
	size_t n;
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", source_dir(), path);
	f = fopen(full, "re");
	if (!f)
		return NULL;
	text = malloc(1 << 20);
	assert_non_null(text);
	n = fread(text, 1, (1 << 20) - 1, f);
	fclose(f);
	text[n] = '\0';
	return text;
}

static struct symbol *add(struct symbol *table, size_t *n, const char *name, size_t length)
{
	struct symbol *s = &table[*n];

	assert_true(*n < MAX && length < NAME_SIZE);
	memcpy(s->name, name, length);
	(*n)++;
	return s;
}

static const struct symbol *find(const struct symbol *table, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (streq(table[i].name, name))
			return &table[i];
	return NULL;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Headers */

/* What follows the comment, preprocessor line or linkage block at @p; @p itself if it is none. */
static const char *skip_other(const char *p, const char **ret_comment)
{
	const char *end;

	if (startswith(p, "/*")) {
		*ret_comment = p;
		end = strstr(p, "*/");
		assert_non_null(end);
		return end + 2;
	}
	if (*p == '#') {
		while (*p && (*p != '\n' || p[-1] == '\\'))
			p++;
		return p;
	}
	if (startswith(p, "extern \"C\" {"))
		return p + strlen("extern \"C\" {");
	return *p == '}' ? p + 1 : p;
}

/* One past the semicolon, or past the brace that ends a function. */
static const char *end_of_statement(const char *p)
{
	bool has_list = false;
	int depth = 0;

	for (; *p; p++) {
		if (startswith(p, "/*")) {
			p = strstr(p, "*/") + 1;
		} else if (*p == '(') {
			has_list = true;
		} else if (*p == '{') {
			depth++;
		} else if (*p == '}') {
			if (--depth == 0 && has_list)
				return p + 1;
		} else if (*p == ';' && depth == 0) {
			return p + 1;
		}
	}
	return p;
}

/* "luo_x(" where nothing but a type stands before it. */
static const char *function_name(const char *p, const char *end)
{
	if (startswith(p, "typedef") || startswith(p, "static"))
		return NULL;
	for (; p < end && *p != '{' && *p != '='; p++) {
		const char *q = p;

		if (!startswith(p, "luo_") || is_name(p[-1]))
			continue;
		while (is_name(*q))
			q++;
		if (*q == '(')
			return p;
	}
	return NULL;
}

static void read_since(struct symbol *s, const char *comment)
{
	const char *end = comment ? strstr(comment, "*/") : NULL;
	const char *since = comment ? strstr(comment, "Since:") : NULL;

	if (since && since < end) {
		since += strlen("Since:");
		since += strspn(since, " \t\n*"); /* the line may have been broken here */
		(void)sscanf(since, "%15[0-9.]", s->version);
	}
	/* the full stop of a sentence is not part of it */
	if (s->version[0] && s->version[strlen(s->version) - 1] == '.')
		s->version[strlen(s->version) - 1] = '\0';
}

/* A comment also holds for the declarations that follow it without a blank line. */
static void read_header(const char *text, const char *header)
{
	const char *comment = NULL, *p = text;

	while (*p) {
		const char *next, *name;
		size_t length = 0;

		if (isspace((unsigned char)*p)) {
			if (startswith(p, "\n\n"))
				comment = NULL;
			p++;
			continue;
		}
		next = skip_other(p, &comment);
		if (next != p) {
			p = next;
			continue;
		}
		next = end_of_statement(p);
		name = function_name(p, next);
		if (name) {
			struct symbol *s;

			while (is_name(name[length]))
				length++;
			s = add(declared, &n_declared, name, length);
			snprintf(s->header, sizeof(s->header), "%s", header);
			read_since(s, comment);
		}
		p = next;
	}
}

static void read_headers(void)
{
	char path[4096], name[32];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/libluo/luo", source_dir());
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *text = NULL;

		if (sscanf(entry->d_name, "%31[a-z].h", name) != 1 || entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "libluo/luo/%.255s", entry->d_name);
		text = read_text(path);
		assert_non_null(text);
		read_header(text, name);
	}
	closedir(dir);
}

/* libluo.sym */

static void read_sym(void)
{
	_cleanup_free_ char *text = read_text("libluo/libluo.sym");
	char version[16] = "", name[NAME_SIZE], *save = NULL;
	bool global = false;

	assert_non_null(text);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "LIBLUO_%15[0-9.] {", version) == 1 || startswith(line, "global"))
			global = true;
		else if (startswith(line, "local"))
			global = false;
		else if (global && sscanf(line, " %63[a-z0-9_];", name) == 1)
			snprintf(add(listed, &n_listed, name, strlen(name))->version,
				 sizeof(listed[0].version), "%s", version);
	}
}

static int setup(void **state)
{
	read_headers();
	read_sym();
	return 0;
}

static void test_something_was_read(void **state)
{
	assert_non_null(find(declared, n_declared, "luo_session_create"));
	assert_non_null(find(declared, n_declared, "luo_kind_to_string"));
	assert_null(find(declared, n_declared, "luo_fd_info"));
	assert_non_null(find(listed, n_listed, "luo_session_create"));
}

static void test_declared_is_listed(void **state)
{
	complaints = 0;
	for (size_t i = 0; i < n_declared; i++) {
		const struct symbol *s = find(listed, n_listed, declared[i].name);

		if (!s)
			complain(declared[i].name, "in a header, not in libluo.sym");
		else if (declared[i].version[0] == '\0')
			complain(s->name, "no \"Since:\" in the comment above it");
		else if (!streq(s->version, declared[i].version))
			complain(s->name, "\"Since:\" and its node in libluo.sym differ");
	}
	assert_int_equal(complaints, 0);
}

static void test_listed_is_declared(void **state)
{
	complaints = 0;
	for (size_t i = 0; i < n_listed; i++) {
		if (!find(declared, n_declared, listed[i].name))
			complain(listed[i].name, "in libluo.sym, not in a header");
		if (find(listed, i, listed[i].name))
			complain(listed[i].name, "twice in libluo.sym");
	}
	assert_int_equal(complaints, 0);
}

static void test_library_exports_them(void **state)
{
	const char *path = getenv("LIBLUO");
	void *library;

	if (!path)
		skip();
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		print_error("%s\n", dlerror());
	assert_non_null(library);
	complaints = 0;
	for (size_t i = 0; i < n_listed; i++)
		if (!dlsym(library, listed[i].name))
			complain(listed[i].name, "not exported (no _public_, or not written?)");
	dlclose(library);
	assert_int_equal(complaints, 0);
}

/* As a whole word; scdoc allows underscores to be escaped. */
static bool mentions(const char *page, const char *name)
{
	size_t length = strlen(name);

	for (const char *p = page; (p = strstr(p, name)); p += length)
		if ((p == page || !is_name(p[-1])) && !is_name(p[length]))
			return true;
	return false;
}

static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++)
		if (*text != '\\')
			*to++ = *text;
	*to = '\0';
}

static void test_man_pages_mention_them(void **state)
{
	complaints = 0;
	for (size_t i = 0; i < n_declared; i++) {
		_cleanup_free_ char *page = NULL;
		char path[128];

		snprintf(path, sizeof(path), "docs/luo-%s.3.scd", declared[i].header);
		page = read_text(path);
		if (!page)
			continue; /* not written yet */
		unescape(page);
		if (!mentions(page, declared[i].name))
			complain(declared[i].name, "not in the man page of its header");
	}
	assert_int_equal(complaints, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_something_was_read),
		cmocka_unit_test(test_declared_is_listed),
		cmocka_unit_test(test_listed_is_declared),
		cmocka_unit_test(test_library_exports_them),
		cmocka_unit_test(test_man_pages_mention_them),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
