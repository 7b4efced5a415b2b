/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * keep-memfd FD=NAME... -- PROGRAM ARGUMENT...: memory for a shell script.
 *
 * Opens a memfd for appending at each number FD: the one in the fd store under NAME, or a new one
 * that is put there. Then it becomes the program, which writes with `echo text >&FD` and reads
 * with `cat /proc/self/fd/FD`. What the store holds is given to us from 3 upwards, so FD should be
 * above that; no more than nine, because a shell's redirections have one digit.
 */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <luo/fdstore.h>
#include <luo/memfd.h>

/* Found or made, the fd that is stored is one that appends: libluo keeps that over a kexec. */
static int open_memory(const char *name)
{
	struct luo_memfd_options options = { .struct_size = sizeof(options), .name = name };
	int fd, made, r;

	r = luo_fdstore_get(name, 0, &fd);
	if (r == 0)
		return fd;
	if (r != -ENOENT)
		errx(1, "cannot look for %s: %s", name, strerror(-r));
	r = luo_memfd_create(&options, &made);
	if (r == 0)
		r = luo_memfd_reopen(made, O_RDWR | O_APPEND, &fd);
	if (r == 0)
		r = luo_fdstore_push(name, fd, 0);
	/* No manager keeps fds for this program; it is memory all the same. */
	if (r < 0 && r != -ENOTCONN)
		errx(1, "cannot make %s: %s", name, strerror(-r));
	close(made);
	return fd;
}

static void place(char *argument)
{
	char *name, *end;
	long number;
	int fd;

	name = strchr(argument, '=');
	number = strtol(argument, &end, 10);
	if (!name || end != name || number < 3 || number > 9)
		errx(2, "'%s' is not FD=NAME with FD from 3 to 9", argument);
	fd = open_memory(name + 1);
	/* dup2() makes a copy that the program inherits. */
	if (fd == number ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, (int)number) < 0)
		err(1, "cannot put %s at %ld", name + 1, number);
}

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		place(argv[i]);
	if (i + 1 >= argc)
		errx(2, "usage: keep-memfd FD=NAME... -- PROGRAM ARGUMENT...");
	execvp(argv[i + 1], argv + i + 1);
	err(127, "%s", argv[i + 1]);
}
