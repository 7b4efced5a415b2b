/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-bench-restore leave FILES BYTES ROUNDS          before the kexec; stays in the background
 * luo-bench-restore take FILES BYTES ROUNDS OUTPUT    after it
 *
 * What was retrieved once is in no session any more, so each round needs files of its own: three
 * equal sets, one committed by libluo, one by the bare loop into one session, one spread.
 */

#include <errno.h>
#include <unistd.h>

#include <luo/handover.h>
#include <luo/mapping.h>
#include <luo/memfd.h>
#include <luo/session.h>

#include "bench/bare.h"
#include "bench/die.h"
#include "bench/files.h"
#include "bench/record.h"

enum { LIBLUO, ONE, SPREAD, N_WAYS };
static const char *const way_names[N_WAYS] = { "libluo", "one", "spread" };

struct arguments {
	struct subject subject;
	unsigned rounds;
};

static const char *session_name(const struct arguments *args, unsigned way, unsigned round)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s-%zu-%u", way_names[way], args->subject.files, round);
	return name;
}

/* Different in every set, so that nothing can be taken for something else. */
static uint64_t first_number(const struct arguments *args, unsigned way, unsigned round)
{
	return (round * N_WAYS + way) * (uint64_t)args->subject.files;
}

/*
 * The sessions that libluo made for a set, and the size of its mapping: what the floor gets too.
 * It must be known after the kexec, so it travels in a session of its own.
 */
struct shape {
	size_t sessions, document_size;
};

static void shape_leave(const struct arguments *args, const struct shape *shape)
{
	char name[64];
	int device, session, fd;

	snprintf(name, sizeof(name), "shape-%zu", args->subject.files);
	must(luo_device_open(0, &device));
	must(luo_session_create(device, name, &session));
	must(luo_memfd_new_sealed("shape", shape, sizeof(*shape), &fd));
	must(luo_session_preserve_fd(session, fd, LUO_TOKEN_MAPPING));
	close(fd);
	close(device);
}

static struct shape shape_take(const struct arguments *args)
{
	int device, session, fd;
	struct shape shape;
	char name[64];

	snprintf(name, sizeof(name), "shape-%zu", args->subject.files);
	must(luo_device_open(0, &device));
	must(luo_session_retrieve(device, name, &session));
	must(luo_session_retrieve_fd(session, LUO_TOKEN_MAPPING, &fd));
	if (must_errno(pread(fd, &shape, sizeof(shape), 0)) != sizeof(shape))
		die(-EBADMSG, "%s", name);
	close(fd);
	close(session);
	close(device);
	return shape;
}

static void leave_round(const struct arguments *args, unsigned round, struct shape *shape)
{
	for (unsigned way = 0; way < N_WAYS; way++) {
		const char *name = session_name(args, way, round);
		struct files files = files_make(args->subject.files, args->subject.bytes,
						first_number(args, way, round));

		if (way == LIBLUO) {
			const struct luo_commit_options options = { .struct_size = sizeof(options),
								    .session_name = name };
			struct luo_store *store = files_to_store(&files);
			struct luo_commit_summary summary = { .struct_size = sizeof(summary) };
			struct luo_commit *commit;

			must(luo_commit_new(&store, 1, &options, &commit));
			must(luo_commit_get_summary(commit, &summary));
			if (summary.preserved != files.n)
				die(-EBADMSG, "not all files were preserved");
			luo_commit_sessions(commit, &shape->sessions);
			luo_commit_mapping(commit, &shape->document_size);
			luo_store_free(store);
		} else {
			struct bare bare = {
				.name = name,
				.sessions = way == ONE ? 1 : shape->sessions,
				.document_size = shape->document_size,
			};

			bare_commit(&bare, &files);
		}
		/* The sessions have references of their own, and they stay open. */
		files_free(&files);
	}
}

static int leave(const struct arguments *args)
{
	struct shape shape = {};

	for (unsigned round = 0; round < args->rounds; round++)
		leave_round(args, round, &shape);
	shape_leave(args, &shape);
	/* The waiting process may continue; what this one holds lives until the kexec. */
	must_errno(daemon(1, 0));
	for (;;)
		pause();
}

static double take_by_libluo(const struct arguments *args, const char *name, struct files *files)
{
	struct luo_incoming *incoming;
	struct luo_entry *entry;
	struct luo_unit *unit;
	double begin = bench_now(), usec;
	int device;
	size_t i = 0;

	must(luo_device_open(0, &device));
	must(luo_incoming_retrieve(device, name, NULL, NULL, &incoming));
	close(device);
	if (luo_incoming_problem(incoming))
		die(-EBADMSG, "%s: %s", name, luo_incoming_problem(incoming));
	LUO_FOREACH_UNIT (unit, luo_mapping_get_store(luo_incoming_mapping(incoming)))
		LUO_FOREACH_ENTRY (entry, unit)
			must(luo_incoming_restore(incoming, entry));
	usec = bench_now() - begin;

	LUO_FOREACH_UNIT (unit, luo_mapping_get_store(luo_incoming_mapping(incoming)))
		LUO_FOREACH_ENTRY (entry, unit) {
			if (i == files->n)
				die(-E2BIG, "%s", name);
			files->fds[i++] = must_errno(dup(luo_entry_get_fd(entry)));
		}
	must(luo_incoming_finish(incoming));
	luo_incoming_free(incoming);
	return usec;
}

static double take_by_hand(const struct shape *shape, unsigned way, const char *name,
			   struct files *files)
{
	struct bare bare = {
		.name = name,
		.sessions = way == ONE ? 1 : shape->sessions,
		.document_size = shape->document_size,
	};
	double begin = bench_now(), usec;

	bare_restore(&bare, files);
	usec = bench_now() - begin;
	bare_finish(&bare);
	bare_close(&bare);
	return usec;
}

static double take_one(const struct arguments *args, const struct shape *shape, unsigned way,
		       unsigned round)
{
	const char *name = session_name(args, way, round);
	struct files files = files_none(args->subject.files, args->subject.bytes);
	double usec;

	usec = way == LIBLUO ? take_by_libluo(args, name, &files)
			     : take_by_hand(shape, way, name, &files);
	for (size_t i = 0; i < files.n; i++)
		files_check(files.fds[i], first_number(args, way, round) + i, files.bytes);
	files_free(&files);
	return usec;
}

static int take(struct arguments *args)
{
	struct series series[N_WAYS] = {};
	/* This is also the first visit to the device, which pays for reading the state of all. */
	struct shape shape = shape_take(args);

	for (unsigned round = 0; round < args->rounds; round++)
		for (unsigned turn = 0; turn < N_WAYS; turn++) {
			unsigned way = (round + turn) % N_WAYS;

			series_add(&series[way], take_one(args, &shape, way, round));
		}
	for (unsigned way = 0; way < N_WAYS; way++) {
		args->subject.sessions = way == ONE ? 1 : shape.sessions;
		record_series(&args->subject, way_names[way], &series[way]);
	}
	return 0;
}

int main(int argc, char *argv[])
{
	struct arguments args = { .subject = { .bench = "restore" } };
	bool leaving = argc == 5 && strcmp(argv[1], "leave") == 0;

	if (!leaving && !(argc == 6 && strcmp(argv[1], "take") == 0))
		die(-EINVAL, "usage: luo-bench-restore leave FILES BYTES ROUNDS\n"
			     "       luo-bench-restore take FILES BYTES ROUNDS OUTPUT");
	args.subject.files = strtoul(argv[2], NULL, 10);
	args.subject.bytes = strtoull(argv[3], NULL, 10);
	args.rounds = (unsigned)strtoul(argv[4], NULL, 10);
	args.subject.path = leaving ? NULL : argv[5];
	files_raise_limit();
	return leaving ? leave(&args) : take(&args);
}
