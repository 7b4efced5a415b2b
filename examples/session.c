/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The kernel's interface itself, without luod: what a VMM does that manages its own session.
 *
 *   luo-example-session save NAME TEXT     before the kexec; keeps running, for the session lives
 *                                          as long as it does
 *   luo-example-session restore NAME       after it; prints the text
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <luo/memfd.h>
#include <luo/session.h>

/* Numbers of our own choice; 0 is where a mapping is expected. */
#define TOKEN_TEXT 1

#define DEVICE_TIMEOUT_USEC (5 * 1000000)

static int save(int device, const char *name, const char *text, int *ret_session)
{
	int session, memory, r;

	r = luo_session_create(device, name, &session);
	if (r < 0)
		return r;
	/* Sealed, because it is complete; and before it is preserved, because later is too late. */
	r = luo_memfd_new_sealed("text", text, strlen(text), &memory);
	if (r == 0) {
		r = luo_session_preserve_fd(session, memory, TOKEN_TEXT);
		close(memory); /* the session has it */
	}
	if (r < 0) {
		close(session); /* which undoes everything */
		return r;
	}
	*ret_session = session;
	return 0;
}

static int print(int memory)
{
	size_t size;
	void *text;
	int r;

	r = luo_memfd_map(memory, LUO_MAP_READ, &text, &size);
	if (r < 0)
		return r;
	printf("%.*s\n", (int)size, (const char *)text);
	return 0;
}

static int restore(int device, const char *name)
{
	int session, memory, r;

	r = luo_session_retrieve(device, name, &session);
	if (r < 0)
		return r;
	r = luo_session_retrieve_fd(session, TOKEN_TEXT, &memory);
	if (r == 0) {
		r = print(memory);
		close(memory);
	}
	/* We have what we want. Closing it would do the same; this tells whether it worked. */
	if (r == 0)
		r = luo_session_finish(session);
	close(session);
	return r;
}

/* A condition that a person can do something about deserves its own words. */
static const char *explain(int error)
{
	switch (-error) {
	case ENODEV:
		return "this kernel has no live update";
	case EOPNOTSUPP:
		return "live update is switched off; boot with kho=on liveupdate=on";
	case EBUSY:
		return "another process has /dev/liveupdate";
	case EEXIST:
		return "there is a session of that name already";
	case ENOENT:
		return "the previous kernel left no session of that name";
	default:
		return strerror(-error);
	}
}

int main(int argc, char **argv)
{
	int device, session = -1, r;

	if (!(argc == 4 && strcmp(argv[1], "save") == 0) &&
	    !(argc == 3 && strcmp(argv[1], "restore") == 0)) {
		fputs("Usage: luo-example-session save NAME TEXT | restore NAME\n", stderr);
		return 2;
	}
	r = luo_device_open(DEVICE_TIMEOUT_USEC, &device);
	if (r == 0) {
		r = argc == 4 ? save(device, argv[2], argv[3], &session) : restore(device, argv[2]);
		close(device); /* as soon as possible: only one process can have it */
	}
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], explain(r));
		return EXIT_FAILURE;
	}
	if (session >= 0) {
		puts("saved; kexec now");
		fflush(stdout);
		pause();
	}
	return EXIT_SUCCESS;
}
