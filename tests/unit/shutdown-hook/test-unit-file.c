/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Reading of a unit what the generator has to know: the file first, then which files there are. */

#include "tests/unit/helpers.h"
#include "shutdown-hook/unit-file.h"

static struct unit_settings parse(const char *text)
{
	struct unit_settings s = { 0 };

	unit_settings_parse(text, strlen(text), &s);
	return s;
}

static void test_text(void **state)
{
	assert_int_equal(parse("").notify_access, UNIT_NOTIFY_UNSET);
	assert_int_equal(parse("NotifyAccess=all\n").notify_access, UNIT_NOTIFY_UNSET);
	assert_int_equal(parse("[Unit]\nNotifyAccess=all\n").notify_access, UNIT_NOTIFY_UNSET);
	assert_int_equal(parse("[X-Service]\nNotifyAccess=all\n").notify_access, UNIT_NOTIFY_UNSET);
	assert_int_equal(parse("[Service]\nNotifyAccess=all").notify_access, UNIT_NOTIFY_ALL);
	assert_int_equal(parse("[Service]\r\n  NotifyAccess =  exec \r\n").notify_access,
			 UNIT_NOTIFY_EXEC);
	assert_int_equal(parse("[Service]\nNotifyAccess=all\nNotifyAccess=main\n").notify_access,
			 UNIT_NOTIFY_MAIN);
	/* Not understood: systemd goes on with what was there before. */
	assert_int_equal(parse("[Service]\nNotifyAccess=all\nNotifyAccess=\nNotifyAccess=of\n")
				 .notify_access,
			 UNIT_NOTIFY_ALL);
	assert_int_equal(parse("[Service]\n#NotifyAccess=all\n ; NotifyAccess=all\n").notify_access,
			 UNIT_NOTIFY_UNSET);
	assert_int_equal(parse("[Service]\nXNotifyAccess=all\n").notify_access, UNIT_NOTIFY_UNSET);
}

static void test_continuation(void **state)
{
	assert_int_equal(parse("[Service]\nExecStart=/bin/a \\\nNotifyAccess=all\n").notify_access,
			 UNIT_NOTIFY_UNSET);
	assert_int_equal(
		parse("[Service]\nExecStart=/bin/a \\\n# x\nb\nNotifyAccess=all\n").notify_access,
		UNIT_NOTIFY_ALL);
	assert_int_equal(parse("[Service]\nNotifyAccess=\\\n  all\n").notify_access,
			 UNIT_NOTIFY_ALL);
	assert_int_equal(parse("[Service]\nNotifyAccess=all\\").notify_access, UNIT_NOTIFY_ALL);
	assert_int_equal(parse("\\\n\\\n\\").notify_access, UNIT_NOTIFY_UNSET);
}

/* A line that is longer than the buffer, and what follows it. */
static void test_long_line(void **state)
{
	_cleanup_free_ char *text = malloc(20100);
	struct unit_settings s = { 0 };
	size_t n;

	assert_non_null(text);
	n = (size_t)sprintf(text, "[Service]\nExecStart=");
	memset(text + n, 'x', 20000);
	strcpy(text + n + 20000, "\nNotifyAccess=exec\n");
	unit_settings_parse(text, strlen(text), &s);
	assert_int_equal(s.notify_access, UNIT_NOTIFY_EXEC);
}

static void test_required(void **state)
{
	assert_false(parse("[Service]\n").required);
	assert_true(parse("[Service]\nX-LUO-Restore=required\n").required);
	assert_true(parse("[Unit]\nX-LUO-Restore = required\n").required);
	assert_false(parse("[Install]\nX-LUO-Restore=required\n").required);
	assert_false(parse("[Unit]\nX-LUO-Restore=required\nX-LUO-Restore=\n").required);
	assert_false(parse("[Unit]\nX-LUO-Restore=yes\n").required);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void put(const char *root, const char *path, const char *text)
{
	char full[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
	}
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static struct unit_settings look(const char *root, const char *unit)
{
	struct unit_settings s;
	struct unit_dirs dirs;
	char list[512];

	snprintf(list, sizeof(list), "%s/etc:%s/run:%s/missing:%s/usr", root, root, root, root);
	assert_int_equal(unit_dirs_open(list, &dirs), 0);
	assert_int_equal(dirs.n, 4);
	assert_int_equal(unit_settings_read(&dirs, unit, &s), 0);
	unit_dirs_done(&dirs);
	return s;
}

#define SERVICE "[Service]\nNotifyAccess="

static void test_fragment(void **state)
{
	const char *root = *state;
	char path[512];

	assert_false(look(root, "a.service").found);
	put(root, "usr/a.service", SERVICE "all\n");
	assert_true(look(root, "a.service").found);
	assert_int_equal(look(root, "a.service").notify_access, UNIT_NOTIFY_ALL);
	put(root, "etc/a.service", SERVICE "exec\n");
	assert_int_equal(look(root, "a.service").notify_access, UNIT_NOTIFY_EXEC);
	/* masked, in both ways */
	put(root, "etc/a.service", "");
	assert_false(look(root, "a.service").found);
	snprintf(path, sizeof(path), "%s/etc/a.service", root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_false(look(root, "a.service").found);
	/* a pipe is no unit, and nobody waits for it */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_false(look(root, "a.service").found);
}

static void test_template(void **state)
{
	const char *root = *state;

	put(root, "usr/a@.service", SERVICE "all\n");
	assert_true(look(root, "a@x.service").found);
	assert_int_equal(look(root, "a@x.service").notify_access, UNIT_NOTIFY_ALL);
	assert_false(look(root, "a.service").found);
	put(root, "usr/a@x.service", SERVICE "exec\n");
	assert_int_equal(look(root, "a@x.service").notify_access, UNIT_NOTIFY_EXEC);
	put(root, "run/a@.service.d/x.conf", SERVICE "none\n");
	assert_int_equal(look(root, "a@x.service").notify_access, UNIT_NOTIFY_NONE);
}

static void test_dropins(void **state)
{
	const char *root = *state;

	put(root, "usr/a-b-c.service", SERVICE "main\n");
	put(root, "usr/a-b-c.service.d/10.conf", SERVICE "all\n");
	assert_int_equal(look(root, "a-b-c.service").notify_access, UNIT_NOTIFY_ALL);
	/* the name decides, not the directory */
	put(root, "etc/a-b-c.service.d/05.conf", SERVICE "exec\n");
	assert_int_equal(look(root, "a-b-c.service").notify_access, UNIT_NOTIFY_ALL);
	put(root, "usr/service.d/20.conf", SERVICE "exec\n");
	assert_int_equal(look(root, "a-b-c.service").notify_access, UNIT_NOTIFY_EXEC);
	put(root, "run/a-.service.d/30.conf", SERVICE "all\n");
	assert_int_equal(look(root, "a-b-c.service").notify_access, UNIT_NOTIFY_ALL);
	put(root, "run/a-b-.service.d/40.conf", SERVICE "none\n");
	assert_int_equal(look(root, "a-b-c.service").notify_access, UNIT_NOTIFY_NONE);
	/* of one name the first directory's */
	put(root, "etc/a-b-.service.d/40.conf", "");
	assert_int_equal(look(root, "a-b-c.service").notify_access, UNIT_NOTIFY_ALL);
	/* and of the most special one */
	put(root, "usr/a-b-c.service.d/40.conf", SERVICE "exec\nX-LUO-Restore=required\n");
	assert_int_equal(look(root, "a-b-c.service").notify_access, UNIT_NOTIFY_EXEC);
	assert_true(look(root, "a-b-c.service").required);
	/* not one */
	put(root, "usr/a-b-c.service.d/90.conf~", SERVICE "main\n");
	put(root, "usr/a-b-c.service.d/.91.conf", SERVICE "main\n");
	assert_int_equal(look(root, "a-b-c.service").notify_access, UNIT_NOTIFY_EXEC);
}

static int setup(void **state)
{
	static char template[DIRECTORY_SIZE];

	remember_fds(state);
	make_directory(template);
	*state = template;
	return 0;
}

static int teardown(void **state)
{
	remove_directory(*state);
	return check_fds(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_continuation),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_required),
		cmocka_unit_test_setup_teardown(test_fragment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_template, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dropins, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
