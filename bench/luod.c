/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-bench-luod stored FILES OUTPUT
 *         how much memory luod takes for FILES files
 * luo-bench-luod leave FILES ROUNDS
 *         before the kexec; stays in the background
 * luo-bench-luod held FILES ROUNDS OUTPUT
 *         after it: how soon luod gives a unit its files
 * luo-bench-luod bare FILES ROUND
 *         ("held" runs it)
 *
 * "held" measures from before the fork of luod until a client has the files of one unit. The bare
 * program for comparison is started in the same way, and only opens the device, retrieves the
 * session, reads the document and retrieves the files of one unit.
 */

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <luo/client.h>
#include <luo/handover.h>

#include "bench/bare.h"
#include "bench/die.h"
#include "bench/files.h"
#include "bench/record.h"

#define LUOD_PATH   "/usr/sbin/luod"
#define SOCKET_PATH "/run/luo/io.luo"
#define PATIENCE    60000000 /* microseconds */
/* What libluo's mapping takes for such a file, about. */
#define DOCUMENT_PER_FILE 100

extern char **environ;

static pid_t start(char *const argv[])
{
	pid_t pid;
	int r = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);

	if (r != 0)
		die(-r, "%s", argv[0]);
	return pid;
}

static pid_t start_luod(const char *session)
{
	char option[96];

	snprintf(option, sizeof(option), "--session=%s", session);
	return start((char *[]){ (char *)LUOD_PATH, (char *)"--supervise",
				 (char *)"--log-level=warning", option, NULL });
}

static void stop_luod(pid_t keeper)
{
	kill(keeper, SIGTERM);
	waitpid(keeper, NULL, 0);
}

/* A client that comes before luod is ready tries again soon. */
static struct luo_client *connect_luod(void)
{
	double patience = bench_now() + PATIENCE;
	struct luo_client *client;
	int r;

	while ((r = luo_client_connect(SOCKET_PATH, PATIENCE, &client)) == -ENOENT ||
	       r == -ECONNREFUSED) {
		if (bench_now() > patience)
			die(r, "waiting for %s", SOCKET_PATH);
		usleep(500);
	}
	must(r);
	return client;
}

static uint64_t number_in(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	if (!at)
		die(-EBADMSG, "no %s in %.200s", key, text);
	at += strlen(key);
	return strtoull(at + strcspn(at, "0123456789"), NULL, 10);
}

/* ---- memory ---- */

static uint64_t status_kib(const char *text, const char *key)
{
	return number_in(text, key) * 1024;
}

static void record_memory(const struct subject *subject, const char *what, pid_t pid)
{
	char path[64], text[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		die(-errno, "%s", path);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);

	const struct value values[] = {
		{ "VmRSS", status_kib(text, "VmRSS:") },
		{ "RssAnon", status_kib(text, "RssAnon:") },
		{ "VmHWM", status_kib(text, "VmHWM:") },
	};
	record_values(subject, what, values, sizeof(values) / sizeof(values[0]));
}

/* luod itself says who it is; the keeper is whom we started. */
static void record_both(struct luo_client *client, const struct subject *subject, const char *key,
			uint64_t expected, pid_t keeper)
{
	char what[32], *reply = NULL;
	int *fds = NULL;
	size_t n;

	must(luo_client_call(client, "io.luo.Status", NULL, NULL, 0, &reply, &fds, &n));
	snprintf(what, sizeof(what), "\"%s\":", key);
	if (number_in(reply, what) != expected)
		die(-EBADMSG, "luod has %s %llu", key, (unsigned long long)number_in(reply, what));
	record_memory(subject, key, (pid_t)number_in(reply, "\"pid\":"));
	snprintf(what, sizeof(what), "%s, keeper", key);
	record_memory(subject, what, keeper);
	free(reply);
	free(fds);
}

/* ---- stored ---- */

static void store_unit(struct luo_client *client, const struct files *files, size_t from, size_t to)
{
	char *parameters = NULL, *reply = NULL;
	size_t size, n;
	int *fds = NULL;
	FILE *f = open_memstream(&parameters, &size);

	if (!f)
		die(-errno, "open_memstream");
	fprintf(f, "{\"unit\":\"unit-%zu.service\",\"names\":[", from / FILES_PER_UNIT);
	for (size_t i = from; i < to; i++)
		fprintf(f, "%s\"file-%zu\"", i > from ? "," : "", i);
	fprintf(f, "]}");
	fclose(f);
	must(luo_client_call(client, "io.luo.Store", parameters, files->fds + from, to - from,
			     &reply, &fds, &n));
	free(parameters);
	free(reply);
	free(fds);
}

static int stored(struct subject *subject)
{
	struct files files = files_make(subject->files, subject->bytes, 0);
	pid_t keeper = start_luod(LUO_DEFAULT_SESSION);
	struct luo_client *client = connect_luod();

	for (size_t i = 0; i < files.n; i += FILES_PER_UNIT)
		store_unit(client, &files, i,
			   i + FILES_PER_UNIT < files.n ? i + FILES_PER_UNIT : files.n);
	record_both(client, subject, "stored", files.n, keeper);
	luo_client_free(client);
	stop_luod(keeper);
	files_free(&files);
	return 0;
}

/* ---- held ---- */

static const char *session_name(const char *what, unsigned round)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s-%u", what, round);
	return name;
}

static struct bare bare_session(const struct subject *subject, unsigned round)
{
	return (struct bare){
		.name = session_name("bare", round),
		.sessions = 1,
		.document_size = subject->files * DOCUMENT_PER_FILE,
	};
}

static void leave_round(const struct subject *subject, unsigned round)
{
	struct luo_commit_options options = { .struct_size = sizeof(options),
					      .session_name = session_name("luod", round) };
	struct files files = files_make(subject->files, subject->bytes, 0);
	struct luo_store *store = files_to_store(&files);
	struct luo_commit *commit;
	struct bare bare;

	must(luo_commit_new(&store, 1, &options, &commit));
	luo_store_free(store);
	files_free(&files);

	files = files_make(subject->files, subject->bytes, 0);
	bare = bare_session(subject, round);
	bare_commit(&bare, &files);
	files_free(&files);
}

static int leave(const struct subject *subject, unsigned rounds)
{
	for (unsigned round = 0; round < rounds; round++)
		leave_round(subject, round);
	must_errno(daemon(1, 0));
	for (;;)
		pause();
}

static int take_bare(const struct subject *subject, unsigned round)
{
	struct files files = files_none(subject->files, subject->bytes);
	struct bare bare = bare_session(subject, round);

	bare_restore_some(&bare, &files, 0, FILES_PER_UNIT);
	for (size_t i = 0; i < FILES_PER_UNIT; i++)
		files_check(files.fds[i], i, files.bytes);
	return 0;
}

static double time_bare(const struct subject *subject, char *self, unsigned round)
{
	double begin = bench_now(), usec;
	char files[32], number[32];
	pid_t pid;
	int status;

	snprintf(files, sizeof(files), "%zu", subject->files);
	snprintf(number, sizeof(number), "%u", round);
	pid = start((char *[]){ self, (char *)"bare", files, number, NULL });
	waitpid(pid, &status, 0);
	usec = bench_now() - begin;
	if (status != 0)
		die(-EBADMSG, "the bare claim failed");
	return usec;
}

static double time_luod(const struct subject *subject, unsigned round, bool with_memory)
{
	const char *session = session_name("luod", round);
	struct luo_claimed *claimed;
	struct luo_client *client;
	double begin = bench_now(), usec;
	pid_t keeper;
	size_t n;

	keeper = start_luod(session);
	client = connect_luod();
	must(luo_client_claim(client, "unit-0.service", &claimed));
	usec = bench_now() - begin;

	n = luo_claimed_n(claimed);
	if (n != FILES_PER_UNIT)
		die(-EBADMSG, "%zu files claimed", n);
	for (size_t i = 0; i < n; i++)
		files_check(luo_claimed_get_fd(claimed, i), i, subject->bytes);
	luo_claimed_free(claimed);
	if (with_memory)
		record_both(client, subject, "held", subject->files - n, keeper);
	luo_client_free(client);
	stop_luod(keeper);
	return usec;
}

static int held(const struct subject *subject, char *self, unsigned rounds)
{
	struct series bare = {}, luod = {};

	/* The first visitor pays for reading the state of all sessions; it is not measured. */
	bare_open_device();
	for (unsigned round = 0; round < rounds; round++) {
		series_add(&bare, time_bare(subject, self, round));
		series_add(&luod, time_luod(subject, round, round == 0));
	}
	record_series(subject, "bare", &bare);
	record_series(subject, "luod", &luod);
	return 0;
}

int main(int argc, char *argv[])
{
	struct subject subject = { .bench = "luod", .bytes = 4096 };
	const char *verb = argc > 2 ? argv[1] : "";
	unsigned number = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;

	if (argc > 2)
		subject.files = strtoul(argv[2], NULL, 10);
	if (argc > 3)
		subject.path = argv[argc - 1];
	files_raise_limit();
	if (argc == 4 && strcmp(verb, "stored") == 0)
		return stored(&subject);
	if (argc == 4 && strcmp(verb, "leave") == 0)
		return leave(&subject, number);
	if (argc == 5 && strcmp(verb, "held") == 0)
		return held(&subject, argv[0], number);
	if (argc == 4 && strcmp(verb, "bare") == 0)
		return take_bare(&subject, number);
	die(-EINVAL,
	    "usage: luo-bench-luod stored FILES OUTPUT, leave FILES ROUNDS, or held FILES ROUNDS OUTPUT");
}
