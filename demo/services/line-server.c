/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "demo/services/line-server.h"

int line_server_listen(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd, one = 1;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
		err(1, "cannot listen on port %u", port);
	return fd;
}

static void serve_one(FILE *connection, line_server_answer_fn answer, void *service)
{
	char request[256], text[256] = "";

	if (!fgets(request, sizeof(request), connection))
		return;
	request[strcspn(request, "\r\n")] = 0;
	answer(service, request, text);
	fprintf(connection, "%s\n", text);
}

void line_server_run(int listen_fd, line_server_answer_fn answer, void *service)
{
	/* A client that goes away early is no reason to end. */
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		FILE *connection = fd < 0 ? NULL : fdopen(fd, "r+");

		if (!connection) {
			warn("accept");
			if (fd >= 0)
				close(fd);
			continue;
		}
		serve_one(connection, answer, service);
		fclose(connection);
	}
}
