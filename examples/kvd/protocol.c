/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* From bytes to commands. What comes in is never trusted: it may be cut anywhere, have no end, or
 * be no text at all. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol.h"

#define LINE_MAX_SIZE 2048 /* of all commands but get */

/* How memcached's binary protocol begins. Who tries it gets to know at once that it is not spoken
 * here. */
#define BINARY_MAGIC ((char)0x80)

/* With so much to send, the next command has to wait. What one command adds to it fits into the
 * buffer, except for a large value. */
#define OUT_HIGH (BUFFER_SIZE / 2)

void reply(struct connection *c, const char *text)
{
	if (buffer_append(&c->out, text, strlen(text)) < 0)
		c->closing = true;
}

void reply_format(struct connection *c, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	reply(c, text);
}

void answer(const struct request *request, const char *text)
{
	if (!request->noreply)
		reply(request->c, text);
}

int parse_number(struct slice text, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (text.size == 0 || text.size > 20)
		return -EINVAL;
	for (size_t i = 0; i < text.size; i++) {
		unsigned digit = (unsigned)(text.data[i] - '0');

		if (digit > 9 || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, digit, &n))
			return -EINVAL;
	}
	if (n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

/* The next word of *@rest, empty if there is none. */
static struct slice next_word(struct slice *rest)
{
	struct slice word;
	const char *end;

	while (rest->size && *rest->data == ' ')
		rest->data++, rest->size--;
	end = memchr(rest->data, ' ', rest->size);
	word = (struct slice){ rest->data, end ? (size_t)(end - rest->data) : rest->size };
	rest->data += word.size, rest->size -= word.size;
	return word;
}

static const struct command *find_command(struct slice name)
{
	for (const struct command *command = commands; command->name; command++)
		if (slice_is(name, command->name))
			return command;
	return NULL;
}

/* The steps below each do one thing, and say whether something else may be done. */
enum step { STEP_DONE, STEP_NEEDS_INPUT };

/* ------------------------------- what is thrown away ------------------------------- */

static enum step step_swallow(struct connection *c)
{
	size_t used = buffer_used(&c->in), n = c->swallow < used ? (size_t)c->swallow : used;

	buffer_consume(&c->in, n);
	c->swallow -= n;
	return c->swallow ? STEP_NEEDS_INPUT : STEP_DONE;
}

static enum step step_skip_line(struct connection *c)
{
	const char *begin = buffer_begin(&c->in);
	const char *newline = memchr(begin, '\n', buffer_used(&c->in));

	buffer_consume(&c->in, newline ? (size_t)(newline - begin) + 1 : buffer_used(&c->in));
	c->skip_line = !newline;
	return newline ? STEP_DONE : STEP_NEEDS_INPUT;
}

/* ------------------------------------- get ------------------------------------- */

static enum step get_failed(struct connection *c, size_t size, const char *text)
{
	reply(c, text);
	buffer_consume(&c->in, size);
	c->get.active = false;
	c->skip_line = true;
	return STEP_DONE;
}

/* One key, or the end of the line. */
static enum step step_get(struct connection *c)
{
	const char *begin = buffer_begin(&c->in), *end = begin + buffer_used(&c->in), *p = begin;
	struct slice key;
	bool last;

	while (p < end && *p == ' ')
		p++;
	key.data = p;
	while (p < end && *p != ' ' && *p != '\n')
		p++;
	key.size = (size_t)(p - key.data);
	if (p == end && key.size <= KEY_MAX_SIZE + 1) {
		buffer_consume(&c->in, (size_t)(key.data - begin));
		return STEP_NEEDS_INPUT;
	}
	last = p < end && *p == '\n';
	if (last && key.size && p[-1] == '\r')
		key.size--;
	if (key.size > KEY_MAX_SIZE)
		return get_failed(c, (size_t)(p - begin), BAD_FORMAT);
	if (key.size && command_get_key(c, key) < 0)
		return get_failed(c, (size_t)(p - begin),
				  "SERVER_ERROR out of memory writing get response\r\n");
	c->get.any |= key.size > 0;
	buffer_consume(&c->in, (size_t)(p - begin) + 1);
	if (last) {
		reply(c, c->get.any ? "END\r\n" : "ERROR\r\n");
		c->get.active = false;
	}
	return STEP_DONE;
}

/* The name of the command is @size bytes in; the rest is left to step_get(). */
static enum step begin_get(struct connection *c, const struct command *command, struct slice rest)
{
	struct slice time;

	c->get = (struct get){ .active = true,
			       .with_cas = command->name[3] == 's',
			       .touch = command->kind == COMMAND_GET_TOUCH };
	if (c->get.touch) {
		time = next_word(&rest);
		if (time.size == 0 ||
		    parse_exptime(&c->source.server->store, time, &c->get.expires) < 0)
			return get_failed(c, 0,
					  time.size ? "CLIENT_ERROR invalid exptime argument\r\n"
						    : "ERROR\r\n");
	}
	buffer_consume(&c->in, (size_t)(rest.data - buffer_begin(&c->in)));
	return STEP_DONE;
}

/* ---------------------------------- other commands ---------------------------------- */

static bool split_line(struct request *request, const struct command *command, struct slice name,
		       struct slice rest)
{
	request->args[0] = name;
	request->n_args = 1;
	for (;;) {
		struct slice word = next_word(&rest);

		if (word.size == 0)
			break;
		if (request->n_args == ARGS_MAX)
			return false;
		request->args[request->n_args++] = word;
	}
	if (request->n_args - 1 > command->max)
		return false;
	/* A key may be called noreply: the first argument, where one is needed. */
	if (command->noreply && request->n_args > (command->min ? 2 : 1) &&
	    slice_is(request->args[request->n_args - 1], "noreply")) {
		request->noreply = true;
		/* Instead of a number it is still what the client wants. */
		if (request->n_args - 1 > command->min)
			request->n_args--;
	}
	return request->n_args - 1 >= command->min;
}

static enum step refuse_value(struct request *request, uint64_t value_size, const char *text)
{
	answer(request, text);
	request->c->swallow = value_size + 2;
	return STEP_DONE;
}

/* @line_size: with the newline */
static enum step run_with_value(struct request *request, const struct command *command,
				size_t line_size)
{
	struct connection *c = request->c;
	struct server *server = c->source.server;
	const char *begin = buffer_begin(&c->in), *value = begin + line_size;
	uint64_t size, ignored;
	int64_t expires;
	size_t whole;

	if (request->args[1].size > KEY_MAX_SIZE ||
	    parse_number(request->args[2], UINT32_MAX, &ignored) < 0 ||
	    parse_exptime(&server->store, request->args[3], &expires) < 0 ||
	    parse_number(request->args[4], INT32_MAX - 2, &size) < 0 ||
	    (command->min == 5 && parse_number(request->args[5], UINT64_MAX, &ignored) < 0)) {
		answer(request, BAD_FORMAT);
		buffer_consume(&c->in, line_size);
		return STEP_DONE;
	}
	if (size > server->item_max) {
		/* A client that sets a key does not expect to read the old value any more. */
		if (slice_is(request->args[0], "set"))
			store_remove(&server->store,
				     store_key(&server->store, request->args[1].data,
					       request->args[1].size));
		server->counters.store_too_large++;
		buffer_consume(&c->in, line_size);
		return refuse_value(request, size, "SERVER_ERROR object too large for cache\r\n");
	}
	whole = line_size + (size_t)size + 2;
	if (buffer_used(&c->in) < whole) {
		if (buffer_reserve(&c->in, whole - buffer_used(&c->in)) >= 0) {
			c->wanted = whole;
			return STEP_NEEDS_INPUT;
		}
		server->counters.store_no_memory++;
		buffer_consume(&c->in, line_size);
		return refuse_value(request, size, NO_MEMORY);
	}
	if (memcmp(value + size, "\r\n", 2) == 0) {
		request->value = (struct slice){ value, (size_t)size };
		command->run(request);
	} else {
		answer(request, "CLIENT_ERROR bad data chunk\r\n");
	}
	buffer_consume(&c->in, whole);
	return STEP_DONE;
}

static enum step run_command(struct connection *c, const struct command *command, struct slice name,
			     struct slice rest, size_t line_size)
{
	struct request request = { .c = c };

	if (split_line(&request, command, name, rest)) {
		if (command->kind == COMMAND_VALUE)
			return run_with_value(&request, command, line_size);
		command->run(&request);
	} else {
		reply(c, "ERROR\r\n");
	}
	buffer_consume(&c->in, line_size);
	return STEP_DONE;
}

static enum step step_command(struct connection *c)
{
	const char *begin = buffer_begin(&c->in);
	size_t used = buffer_used(&c->in);
	const char *newline = memchr(begin, '\n', used);
	struct slice rest = { begin, newline ? (size_t)(newline - begin) : used }, name;
	const struct command *command;

	if (*begin == BINARY_MAGIC) {
		c->closing = true;
		return STEP_NEEDS_INPUT;
	}
	if (!newline && used < LINE_MAX_SIZE)
		return STEP_NEEDS_INPUT;
	if (newline && rest.size && newline[-1] == '\r')
		rest.size--;
	name = next_word(&rest);
	command = find_command(name);
	if (command && (command->kind == COMMAND_GET || command->kind == COMMAND_GET_TOUCH))
		return begin_get(c, command, rest);
	if (!newline) {
		reply(c, "CLIENT_ERROR line too long\r\n");
		c->closing = true;
		return STEP_NEEDS_INPUT;
	}
	if (command)
		return run_command(c, command, name, rest, (size_t)(newline - begin) + 1);
	reply(c, "ERROR\r\n");
	buffer_consume(&c->in, (size_t)(newline - begin) + 1);
	return STEP_DONE;
}

bool protocol_run(struct connection *c)
{
	enum step step = STEP_DONE;

	if (buffer_used(&c->in) < c->wanted)
		return false;
	c->wanted = 0;
	while (buffer_used(&c->in) > 0 && step == STEP_DONE && !c->closing) {
		if (buffer_used(&c->out) >= OUT_HIGH)
			return true;
		if (c->swallow)
			step = step_swallow(c);
		else if (c->skip_line)
			step = step_skip_line(c);
		else if (c->get.active)
			step = step_get(c);
		else
			step = step_command(c);
	}
	return false;
}
