/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * The framing. The first byte of the input is the length of the first chunk, and so on: the stream
 * comes in the pieces that the fuzzer likes. However it is cut, the messages are the same.
 */

#include <sys/socket.h>

#include "tests/fuzz/fuzz.h"
#include "common/varlink.h"
#include "common/util.h"

static struct luo_varlink *new_varlink(void)
{
	static const struct luo_varlink_limits limits = { .message_max = 4096, .fds_max = 8 };
	struct luo_varlink *v;

	/* Nothing is read from it: what comes in comes by luo_varlink_feed(). */
	MUST(luo_varlink_new(-EBADF, &limits, &v) == 0);
	return v;
}

/* How many messages, and how it ended. */
struct outcome {
	unsigned messages;
	int error;
};

static void drain(struct luo_varlink *v, struct outcome *o)
{
	struct luo_varlink_message message;

	while (o->error == 0) {
		int r = luo_varlink_next(v, &message);

		if (r < 0)
			o->error = r;
		if (r <= 0)
			return;
		MUST(json_object_is_type(message.object, json_type_object));
		MUST(message.n_fds == 0);
		o->messages++;
		luo_varlink_message_done(&message);
	}
}

/* With @chunked, byte 0 tells how long the first piece is, then comes the piece, and so on. */
static struct outcome run(const uint8_t *data, size_t size, bool chunked)
{
	struct luo_varlink *v = new_varlink();
	struct outcome o = { 0 };

	while (size > 0 && o.error == 0) {
		size_t n = (size_t)*data++ + 1;

		size--;
		n = MIN2(n, size);
		if (n == 0)
			break;
		MUST(luo_varlink_feed(v, data, n, NULL, 0, false) == 0);
		if (chunked)
			drain(v, &o);
		data += n;
		size -= n;
	}
	drain(v, &o);
	luo_varlink_free(v);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome piecewise = run(data, size, true), at_once = run(data, size, false);

	MUST(piecewise.messages == at_once.messages);
	MUST(piecewise.error == at_once.error);
	return 0;
}
