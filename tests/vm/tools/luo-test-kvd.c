/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * A client of examples/kvd for guests, which have no other.
 *
 *   luo-test-kvd load SOCKET N SECONDS
 *         sets N items, a quarter of which expire after so many seconds
 *   luo-test-kvd verify SOCKET N
 *         all of them are there, with flags, cas and time to live; those whose time has come are
 * not luo-test-kvd wait SOCKET until that quarter has expired luo-test-kvd ask SOCKET LINE prints
 * the answer
 *
 * What item i is follows from i, and from when all were set, which is an item, too: so nothing
 * needs to be remembered elsewhere. Prints TAP.
 */

#include <err.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BATCH 100 /* so many requests are sent before the first answer is read */
#define HOUR  3600
#define MONTH (40 * 86400) /* more than 30 days: only a date can say so */

enum kind { FOREVER, AN_HOUR, A_DATE, SOON, KINDS };
static const char *const kind_names[] = { "that never expire", "with an hour to live",
					  "that expire at a date", "that expire soon" };

static unsigned n_tests, n_failed;
static FILE *in, *out;

static void result(bool good, const char *what, const char *detail)
{
	n_failed += !good;
	printf("%sok %u - %s%s%s\n", good ? "" : "not ", ++n_tests, what, *detail ? ": " : "",
	       detail);
}

static void dial(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "cannot connect to %s", path);
	in = fdopen(fd, "r");
	out = fdopen(dup(fd), "w");
	if (!in || !out)
		err(1, "fdopen");
}

static void read_line(char *line, size_t size)
{
	if (!fgets(line, (int)size, in))
		errx(1, "kvd has closed the connection");
	line[strcspn(line, "\r\n")] = 0;
}

static void expect(const char *answer)
{
	char line[256];

	read_line(line, sizeof(line));
	if (strcmp(line, answer) != 0)
		errx(1, "kvd answers '%s', not '%s'", line, answer);
}

static size_t value_of(unsigned i, char *value)
{
	size_t size = i * 37 % 3000;

	for (size_t k = 0; k < size; k++)
		value[k] = (char)(i * 31 + k * 7);
	return size;
}

static void load(unsigned n, long seconds)
{
	static char value[3000];
	long now = (long)time(NULL);
	char text[64];

	for (unsigned i = 0; i < n; i++) {
		long exptime[KINDS] = { 0, HOUR, now + MONTH, seconds };
		size_t size = value_of(i, value);

		fprintf(out, "set item%u %u %ld %zu\r\n", i, i * 7919, exptime[i % KINDS], size);
		fwrite(value, 1, size, out);
		fputs("\r\n", out);
		if (i % BATCH != BATCH - 1 && i != n - 1)
			continue;
		fflush(out);
		for (unsigned answers = i % BATCH + 1; answers; answers--)
			expect("STORED");
	}
	snprintf(text, sizeof(text), "%ld %ld %ld", now, (long)time(NULL), seconds);
	fprintf(out, "set when 0 0 %zu\r\n%s\r\n", strlen(text), text);
	fflush(out);
	expect("STORED");
	result(true, "the items are set", "");
}

struct when {
	long begin, end, seconds;
};

static void get_when(struct when *when)
{
	char line[256];

	fputs("get when\r\n", out);
	fflush(out);
	read_line(line, sizeof(line));
	if (strncmp(line, "VALUE when ", 11) != 0)
		errx(1, "the items were never set: '%s'", line);
	read_line(line, sizeof(line));
	if (sscanf(line, "%ld %ld %ld", &when->begin, &when->end, &when->seconds) != 3)
		errx(1, "bad item: '%s'", line);
	expect("END");
}

/* In seconds; 0: for ever. */
static long lifetime(enum kind kind, const struct when *when)
{
	long lifetimes[KINDS] = { 0, HOUR, MONTH, when->seconds };

	return lifetimes[kind];
}

/* Reads the answers to that request. NULL if the item is what was set, or is not there and @there
 * is false. Otherwise what is wrong. */
static const char *check_item(unsigned i, bool there, long left_min, long left_max)
{
	static char value[3000], found[3002], line[256], wanted[256];
	size_t size = value_of(i, value);
	const char *text;
	long left;

	read_line(line, sizeof(line));
	if (strcmp(line, "END") == 0) {
		expect("EN");
		return there ? "is not there" : NULL;
	}
	snprintf(wanted, sizeof(wanted), "VALUE item%u %u %zu %u", i, i * 7919, size, i + 1);
	if (strcmp(line, wanted) != 0)
		errx(1, "found '%s', not '%s'", line, wanted);
	if (fread(found, 1, size + 2, in) != size + 2 || memcmp(found, value, size) != 0)
		return "has another value";
	expect("END");
	read_line(line, sizeof(line));
	text = strstr(line, "exp=");
	if (!there)
		return "is still there";
	left = text ? atol(text + 4) : 0;
	return left >= left_min && left <= left_max ? NULL : "has another time to live";
}

/* For a batch of items of one kind. */
static void send_requests(unsigned i, unsigned n)
{
	for (unsigned requests = 0; requests < BATCH && i < n; requests++, i += KINDS)
		fprintf(out, "gets item%u\r\nme item%u\r\n", i, i);
	fflush(out);
}

static void verify_kind(unsigned n, enum kind kind, const struct when *when)
{
	long lives = lifetime(kind, when), first = -1, last = -1;
	char what[128], detail[128] = "";
	bool there = true;
	unsigned bad = 0;

	for (unsigned i = kind; i < n; i += KINDS) {
		long now = (long)time(NULL);
		const char *problem;

		if (i / KINDS % BATCH == 0)
			send_requests(i, n);
		if (lives) {
			first = when->begin + lives - now - 2;
			last = when->end + lives - now + 2;
			there = last > 0;
		}
		problem = check_item(i, there, first, last);
		/* Some that were set first may be gone before those that were set last. */
		if (problem && (!lives || first > 0 || !there) && !bad++)
			snprintf(detail, sizeof(detail), "item%u %s", i, problem);
	}
	snprintf(what, sizeof(what), "%u items %s are %s", n / KINDS, kind_names[kind],
		 there ? "as they were" : "gone");
	result(bad == 0, what, detail);
}

/* A number that was never given before: greater than all. */
static void verify_cas(unsigned n)
{
	uint64_t cas = 0;
	char line[256];

	fputs("set fresh 0 0 1\r\n1\r\ngets fresh\r\n", out);
	fflush(out);
	expect("STORED");
	read_line(line, sizeof(line));
	sscanf(line, "VALUE fresh 0 1 %" SCNu64, &cas);
	expect("1");
	expect("END");
	result(cas > n + 1, "a new item has a new cas number", "");
}

static void verify(unsigned n)
{
	struct when when;

	get_when(&when);
	for (enum kind kind = FOREVER; kind < KINDS; kind++)
		verify_kind(n, kind, &when);
	verify_cas(n);
}

static void wait_until_expired(void)
{
	struct when when;

	get_when(&when);
	while (time(NULL) <= when.end + when.seconds + 2)
		usleep(100000);
}

static void ask(const char *text)
{
	char line[256];

	for (; *text; text++)
		fputs(*text == '\n' ? "\r\n" : (char[]){ *text, 0 }, out);
	fputs("\r\nversion\r\n", out);
	fflush(out);
	for (;;) {
		read_line(line, sizeof(line));
		if (strncmp(line, "VERSION ", 8) == 0)
			break;
		puts(line);
	}
}

int main(int argc, char **argv)
{
	if (argc < 3)
		errx(2, "see the comment in luo-test-kvd.c");
	dial(argv[2]);
	if (strcmp(argv[1], "load") == 0 && argc == 5)
		load((unsigned)atoi(argv[3]), atol(argv[4]));
	else if (strcmp(argv[1], "verify") == 0 && argc == 4)
		verify((unsigned)atoi(argv[3]));
	else if (strcmp(argv[1], "wait") == 0)
		wait_until_expired();
	else if (strcmp(argv[1], "ask") == 0 && argc == 4)
		ask(argv[3]);
	else
		errx(2, "see the comment in luo-test-kvd.c");
	if (n_tests)
		printf("1..%u\n", n_tests);
	return n_failed ? 1 : 0;
}
