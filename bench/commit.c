/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-bench-commit FILES BYTES ROUNDS OUTPUT
 *
 * Measures a commit by libluo beside the bare loop of the ioctls, in one session and spread over as
 * many as libluo makes. Closing the sessions undoes a commit, so the three take turns, and each
 * starts every third round. A first round of all three is not counted, because the first preserve
 * of a page moves it out of the scratch area.
 */

#include <errno.h>
#include <unistd.h>

#include <luo/handover.h>

#include "bench/bare.h"
#include "bench/die.h"
#include "bench/files.h"
#include "bench/record.h"

enum { LIBLUO, ONE, SPREAD, N_WAYS };

struct run {
	struct files files;
	struct luo_store *store;
	size_t sessions;      /* that libluo made */
	size_t document_size; /* of its mapping */
	struct series series[N_WAYS];
};

static double by_libluo(struct run *run)
{
	const struct luo_commit_options options = { .struct_size = sizeof(options),
						    .session_name = "luo" };
	struct luo_commit_summary summary = { .struct_size = sizeof(summary) };
	struct luo_commit *commit;
	double begin = bench_now(), usec;

	must(luo_commit_new(&run->store, 1, &options, &commit));
	usec = bench_now() - begin;

	must(luo_commit_get_summary(commit, &summary));
	if (summary.preserved != run->files.n)
		die(-EBADMSG, "%zu of %zu files preserved", (size_t)summary.preserved,
		    run->files.n);
	luo_commit_sessions(commit, &run->sessions);
	luo_commit_mapping(commit, &run->document_size);
	luo_commit_free(commit);
	return usec;
}

static double by_hand(struct run *run, size_t sessions)
{
	struct bare bare = {
		.name = "bare",
		.sessions = sessions,
		.document_size = run->document_size,
	};
	double begin = bench_now(), usec;

	bare_commit(&bare, &run->files);
	usec = bench_now() - begin;
	bare_close(&bare);
	return usec;
}

static double commit_by(struct run *run, unsigned way)
{
	switch (way) {
	case LIBLUO:
		return by_libluo(run);
	case ONE:
		return by_hand(run, 1);
	default:
		return by_hand(run, run->sessions);
	}
}

int main(int argc, char *argv[])
{
	struct subject subject = { .bench = "commit" };
	struct run run = {};
	unsigned rounds;

	if (argc != 5)
		die(-EINVAL, "usage: luo-bench-commit FILES BYTES ROUNDS OUTPUT");
	subject.files = strtoul(argv[1], NULL, 10);
	subject.bytes = strtoull(argv[2], NULL, 10);
	rounds = (unsigned)strtoul(argv[3], NULL, 10);
	subject.path = argv[4];

	files_raise_limit();
	run.files = files_make(subject.files, subject.bytes, 0);
	run.store = files_to_store(&run.files);

	for (unsigned way = 0; way < N_WAYS; way++)
		commit_by(&run, way);
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned turn = 0; turn < N_WAYS; turn++) {
			unsigned way = (round + turn) % N_WAYS;

			series_add(&run.series[way], commit_by(&run, way));
		}

	subject.sessions = run.sessions;
	record_series(&subject, "libluo", &run.series[LIBLUO]);
	record_series(&subject, "spread", &run.series[SPREAD]);
	subject.sessions = 1;
	record_series(&subject, "one", &run.series[ONE]);

	luo_store_free(run.store);
	files_free(&run.files);
	return 0;
}
