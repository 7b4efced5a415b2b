/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libluo/session/kernel-abi.h"

#include "bench/bare.h"
#include "bench/die.h"

static int open_device(void)
{
	return must_errno(open("/dev/liveupdate", O_RDWR | O_CLOEXEC));
}

static int session_by_name(int device, unsigned long request, const char *name, size_t i)
{
	struct luo_abi_session arg = { .size = sizeof(arg) };

	if (i == 0)
		snprintf((char *)arg.name, sizeof(arg.name), "%s", name);
	else
		snprintf((char *)arg.name, sizeof(arg.name), "%s.%zu", name, i);
	if (ioctl(device, request, &arg) < 0)
		die(-errno, "session %s", arg.name);
	return arg.fd;
}

static void open_sessions(struct bare *bare, unsigned long request)
{
	int device = open_device();

	bare->fds = malloc(bare->sessions * sizeof(int));
	if (!bare->fds)
		die(-ENOMEM, "%zu sessions", bare->sessions);
	for (size_t i = 0; i < bare->sessions; i++)
		bare->fds[i] = session_by_name(device, request, bare->name, i);
	close(device);
}

static void preserve(int session, uint64_t token, int fd)
{
	struct luo_abi_fd arg = { .size = sizeof(arg), .fd = fd, .token = token };

	must_errno(ioctl(session, LUO_ABI_PRESERVE_FD, &arg));
}

static int retrieve(int session, uint64_t token)
{
	struct luo_abi_fd arg = { .size = sizeof(arg), .token = token };

	must_errno(ioctl(session, LUO_ABI_RETRIEVE_FD, &arg));
	return arg.fd;
}

static size_t files_per_session(const struct bare *bare, const struct files *files)
{
	return (files->n + bare->sessions - 1) / bare->sessions;
}

static void write_document(const struct bare *bare)
{
	char *text = calloc(1, bare->document_size);
	int fd = must_errno(memfd_create("document", MFD_CLOEXEC));

	if (!text)
		die(-ENOMEM, "document");
	must_errno(write(fd, text, bare->document_size));
	preserve(bare->fds[0], 0, fd);
	close(fd);
	free(text);
}

static void read_document(const struct bare *bare)
{
	char *text = malloc(bare->document_size);
	int fd = retrieve(bare->fds[0], 0);

	if (!text)
		die(-ENOMEM, "document");
	if (must_errno(pread(fd, text, bare->document_size, 0)) != (ssize_t)bare->document_size)
		die(-EBADMSG, "document");
	close(fd);
	free(text);
}

void bare_commit(struct bare *bare, const struct files *files)
{
	size_t per_session = files_per_session(bare, files);

	open_sessions(bare, LUO_ABI_CREATE_SESSION);
	for (size_t i = 0; i < files->n; i++)
		preserve(bare->fds[i / per_session], i % per_session + 1, files->fds[i]);
	write_document(bare);
}

void bare_restore_some(struct bare *bare, struct files *files, size_t from, size_t to)
{
	size_t per_session = files_per_session(bare, files);

	open_sessions(bare, LUO_ABI_RETRIEVE_SESSION);
	read_document(bare);
	for (size_t i = from; i < to; i++)
		files->fds[i] = retrieve(bare->fds[i / per_session], i % per_session + 1);
}

void bare_restore(struct bare *bare, struct files *files)
{
	bare_restore_some(bare, files, 0, files->n);
}

void bare_finish(struct bare *bare)
{
	struct luo_abi_finish arg = { .size = sizeof(arg) };

	for (size_t i = 0; i < bare->sessions; i++)
		must_errno(ioctl(bare->fds[i], LUO_ABI_FINISH, &arg));
}

void bare_close(struct bare *bare)
{
	for (size_t i = 0; i < bare->sessions; i++)
		close(bare->fds[i]);
	free(bare->fds);
	bare->fds = NULL;
}

void bare_open_device(void)
{
	close(open_device());
}
