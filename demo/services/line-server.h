/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef DEMO_LINE_SERVER_H
#define DEMO_LINE_SERVER_H

#include <stdint.h>

/* A socket that listens on 127.0.0.1. */
int line_server_listen(uint16_t port);

/* Puts the answer to one line into @answer, of 256 bytes. */
typedef void (*line_server_answer_fn)(void *service, char *request, char *answer);

/* One line in, one line out, and the connection is closed; for ever. */
void line_server_run(int listen_fd, line_server_answer_fn answer, void *service)
	__attribute__((noreturn));

#endif
