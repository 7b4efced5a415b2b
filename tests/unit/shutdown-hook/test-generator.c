/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The generator: what it makes of an index that is missing or damaged, then its drop-ins. */

#include <luo/session.h>

#include "tests/fake/fake-luo.h"
#include "shutdown-hook/generator.h"
#include "tests/unit/helpers.h"
#include "shutdown-hook/index.h"

struct fixture {
	char root[DIRECTORY_SIZE];
	char out[64], run[64], units[256];
	struct generator g;
};

static char logged[4096];
static unsigned version;

static void log_line(int priority, const char *text)
{
	size_t n = strlen(logged);

	snprintf(logged + n, sizeof(logged) - n, "%d %s\n", priority, text);
}

static unsigned manager_version(void)
{
	return version;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	remember_fds(state);
	make_directory(f->root);
	snprintf(f->out, sizeof(f->out), "%s/out", f->root);
	snprintf(f->run, sizeof(f->run), "%s/run", f->root);
	snprintf(f->units, sizeof(f->units), "%s/units", f->root);
	assert_int_equal(mkdir(f->out, 0755), 0);
	assert_int_equal(mkdir(f->units, 0755), 0);
	f->g = (struct generator){ .directory = f->out,
				   .runtime_dir = f->run,
				   .unit_path = f->units,
				   .helper = "/usr/libexec/luo/luo-restore",
				   .manager_version = manager_version,
				   .log = log_line };
	*logged = '\0';
	version = 257;
	fake_luo_install();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct fake_luo_stats stats;

	fake_luo_stats(&stats);
	assert_false(stats.device_open);
	fake_luo_uninstall();
	remove_directory(f->root);
	free(f);
	return check_fds(state);
}

static void put(const char *directory, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void put_run(struct fixture *f, const char *name, const char *text)
{
	assert_true(mkdir(f->run, 0755) == 0 || errno == EEXIST);
	put(f->run, name, text);
}

/* The text of a file of at most 4 KiB, NULL if there is none. */
static const char *get(const char *directory, const char *name)
{
	static char text[4096];
	char path[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "r");
	if (!f)
		return NULL;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return text;
}

static const char *dropin(struct fixture *f, const char *unit)
{
	char name[720];

	snprintf(name, sizeof(name), "%s.d/zz-luo.conf", unit);
	return get(f->out, name);
}

/* What the previous kernel leaves: the index, and the session that is not the generator's. */
static void leave(const char *text, int *keep, size_t n_keep)
{
	int device, session, fd = memfd_of(text);

	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(luo_session_create(device, "luod", &keep[0]), 0);
	assert_int_equal(luo_session_create(device, INDEX_SESSION, &session), 0);
	keep[1] = session;
	if (*text)
		assert_int_equal(luo_session_preserve_fd(session, fd, 0), 0);
	close(fd);
	close(device);
	fake_luo_kexec();
	close_many(keep, n_keep);
}

static void boot_with(const char *text)
{
	int keep[2];

	leave(text, keep, ELEMENTSOF(keep));
}

/* ---- where there is nothing ------------------------------------------------------------------ */

static void run_quietly(struct fixture *f)
{
	assert_int_equal(generator_run(&f->g), 0);
	assert_string_equal(logged, "");
	assert_int_equal(rmdir(f->out), 0);
}

static void test_no_live_update(void **state)
{
	struct fixture *f = *state;

	fake_luo_set_support(LUO_SUPPORT_NONE);
	run_quietly(f);
	assert_int_equal(access(f->run, F_OK), -1);
}

static void test_switched_off(void **state)
{
	fake_luo_set_support(LUO_SUPPORT_OFF);
	run_quietly(*state);
}

static void test_cold_boot(void **state)
{
	struct fixture *f = *state;

	run_quietly(f);
	assert_int_equal(access(f->run, F_OK), -1);
}

static void test_device_unreadable(void **state)
{
	struct fixture *f = *state;

	fake_luo_set_unreadable(true);
	assert_int_equal(generator_run(&f->g), 1);
	assert_string_equal(
		logged,
		"4 Cannot ask the kernel which units have something to get back: Input/output error.\n");
}

/* One second, not for ever. */
static void test_device_busy(void **state)
{
	struct fixture *f = *state;
	uint64_t start = now_usec(CLOCK_MONOTONIC);
	int device;

	assert_int_equal(luo_device_open(0, &device), 0);
	assert_int_equal(generator_run(&f->g), 1);
	assert_true(now_usec(CLOCK_MONOTONIC) - start < 5 * USEC_PER_SEC);
	assert_non_null(strstr(logged, "Device or resource busy"));
	close(device);
}

/* ---- a damaged index ------------------------------------------------------------------------- */

static void damaged(struct fixture *f, const char *text, const char *reason)
{
	boot_with(text);
	*logged = '\0';
	assert_int_equal(generator_run(&f->g), 1);
	if (!strstr(logged, reason))
		fail_msg("%s", logged);
	assert_null(get(f->run, "index.json"));
	/* Whatever it says, the real session is not touched. */
	assert_true(fake_luo_has_session("luod", true, NULL));
	assert_false(fake_luo_has_session(INDEX_SESSION, true, NULL));
	fake_luo_reset();
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;

	damaged(f, "", "there is no text in it (No such file or directory)");
	damaged(f, "{\"version\":1,", "it ends too early (Bad message)");
	damaged(f, "{\"version\":2,\"units\":[]}", "of a version that is not known here");
	assert_int_equal(rmdir(f->out), 0);
}

static void test_damaged_copy(void **state)
{
	struct fixture *f = *state;

	put_run(f, "index.json", "{");
	assert_int_equal(generator_run(&f->g), 1);
	assert_non_null(strstr(logged, "/run/index.json: it ends too early.\n"));
}

/* ---- drop-ins -------------------------------------------------------------------------------- */

#define HEADER    "# Written by luo-generator(8): this unit has fds to get back.\n"
#define UNIT_PART HEADER "[Unit]\nWants=luod.service\nAfter=luod.service\n\n[Service]\n"
#define HELPER    "/usr/libexec/luo/luo-restore"

static void test_first_boot(void **state)
{
	static const char text[] =
		"{\"version\":1,\"units\":[{\"name\":\"a.service\"},{\"name\":\"luod.service\"},{\"name\":\"n.service\",\"native\":true}],\"report\":{\"entries\":3}}";
	struct fixture *f = *state;
	struct stat st;
	char path[128];

	boot_with(text);
	assert_int_equal(generator_run(&f->g), 0);
	assert_string_equal(logged, "6 2 units have something to get back.\n");
	assert_string_equal(dropin(f, "a.service"),
			    UNIT_PART "NotifyAccess=exec\n"
				      "ExecStartPre=-+" HELPER " --notify-access=main -- %n\n");
	assert_non_null(dropin(f, "n.service"));
	assert_null(dropin(f, "luod.service"));
	assert_string_equal(get(f->run, "index.json"), text);
	snprintf(path, sizeof(path), "%s/index.json", f->run);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(fake_luo_has_session("luod", true, NULL));
	assert_false(fake_luo_has_session(INDEX_SESSION, true, NULL));
}

/* The session is gone, the copy is there: luod has not come that far. */
static void test_second_run(void **state)
{
	struct fixture *f = *state;
	struct fake_luo_stats before, after;

	boot_with("{\"version\":1,\"units\":[{\"name\":\"a.service\"}]}");
	assert_int_equal(generator_run(&f->g), 0);
	fake_luo_stats(&before);
	remove_directory(f->out);
	assert_int_equal(mkdir(f->out, 0755), 0);
	assert_int_equal(generator_run(&f->g), 0);
	assert_non_null(dropin(f, "a.service"));
	fake_luo_stats(&after);
	assert_int_equal(before.calls[FAKE_LUO_OPEN], after.calls[FAKE_LUO_OPEN]);
}

/* What luod says is newer than any index; an empty list is a list. */
static void test_published(void **state)
{
	struct fixture *f = *state;

	put_run(f, "index.json", "{\"version\":1,\"units\":[{\"name\":\"a.service\"}]}");
	put_run(f, "units", "b.service\n../c.service\n");
	assert_int_equal(generator_run(&f->g), 0);
	assert_null(dropin(f, "a.service"));
	assert_non_null(dropin(f, "b.service"));
	assert_non_null(strstr(logged, "4 1 names in the list of units are no names of services"));
	remove_directory(f->out);
	assert_int_equal(mkdir(f->out, 0755), 0);
	put_run(f, "units", "");
	*logged = '\0';
	run_quietly(f);
}

/* Of a PID 1 that restores them itself only the others are ours. */
static void test_native(void **state)
{
	struct fixture *f = *state;

	version = 261;
	boot_with(
		"{\"version\":1,\"units\":[{\"name\":\"a.service\",\"native\":true},{\"name\":\"b.service\",\"native\":false}]}");
	assert_int_equal(generator_run(&f->g), 0);
	assert_null(dropin(f, "a.service"));
	assert_non_null(dropin(f, "b.service"));
}

/* What the unit says of itself is not narrowed. */
static void test_notify_access(void **state)
{
	struct fixture *f = *state;

	put(f->units, "all.service", "[Service]\nNotifyAccess=all\n");
	put(f->units, "exec.service", "[Service]\nNotifyAccess=exec\nX-LUO-Restore=required\n");
	put(f->units, "main@.service", "[Service]\nNotifyAccess=main\nX-LUO-Restore=required\n");
	put_run(f, "units", "all.service\nexec.service\nmain@1.service\nmissing.service\n");
	assert_int_equal(generator_run(&f->g), 0);
	assert_string_equal(dropin(f, "all.service"),
			    UNIT_PART "ExecStartPre=-+" HELPER " -- %n\n");
	assert_string_equal(dropin(f, "exec.service"),
			    UNIT_PART "ExecStartPre=+" HELPER " --required -- %n\n");
	assert_string_equal(dropin(f, "main@1.service"),
			    UNIT_PART "NotifyAccess=exec\nExecStartPre=+" HELPER
				      " --notify-access=main --required -- %n\n");
	assert_string_equal(dropin(f, "missing.service"),
			    UNIT_PART "NotifyAccess=exec\nExecStartPre=-+" HELPER
				      " --notify-access=main -- %n\n");
}

/* luod is no unit of a user's manager. */
static void test_user(void **state)
{
	struct fixture *f = *state;

	f->g.user = true;
	put(f->units, "all.service", "[Service]\nNotifyAccess=all\n");
	put_run(f, "units", "all.service\nmissing.service\n");
	assert_int_equal(generator_run(&f->g), 0);
	assert_string_equal(dropin(f, "all.service"),
			    HEADER "[Service]\nExecStartPre=-+" HELPER " --user -- %n\n");
	assert_string_equal(dropin(f, "missing.service"),
			    HEADER "[Service]\nNotifyAccess=exec\nExecStartPre=-+" HELPER
				   " --user --notify-access=main -- %n\n");
}

/* All characters that a name may have. One that cannot be written does no harm to the others. */
static void test_names(void **state)
{
	struct fixture *f = *state;
	char name[700], list[900];

	snprintf(name, sizeof(name), "%s.service", long_name(244));
	snprintf(list, sizeof(list), "-a.service\na:b_c\\x2d@d-e\\x40.service\n%s\nz.service\n",
		 name);
	put_run(f, "units", list);
	put(f->out, "z.service.d", "in the way");
	assert_int_equal(generator_run(&f->g), 1);
	assert_string_equal(
		logged,
		"3 Cannot write a drop-in for z.service: Not a directory. It starts without its fds, which luod keeps.\n");
	assert_non_null(dropin(f, "-a.service"));
	assert_non_null(dropin(f, "a:b_c\\x2d@d-e\\x40.service"));
	assert_null(dropin(f, "z.service"));
	assert_non_null(dropin(f, name));
}

/* The index is read, the copy cannot be written: the drop-ins are there all the same. */
static void test_copy_fails(void **state)
{
	struct fixture *f = *state;

	boot_with("{\"version\":1,\"units\":[{\"name\":\"a.service\"}]}");
	put(f->root, "run", "in the way");
	assert_int_equal(generator_run(&f->g), 0);
	assert_non_null(strstr(logged, "/run/index.json: Not a directory. Until luod is up"));
	assert_non_null(dropin(f, "a.service"));
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_live_update), TEST(test_switched_off),
		TEST(test_cold_boot),      TEST(test_device_unreadable),
		TEST(test_device_busy),    TEST(test_damaged),
		TEST(test_damaged_copy),   TEST(test_first_boot),
		TEST(test_second_run),     TEST(test_published),
		TEST(test_native),         TEST(test_notify_access),
		TEST(test_user),           TEST(test_names),
		TEST(test_copy_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
