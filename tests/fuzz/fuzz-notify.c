/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Notifications: what the parser points to lies inside of the text and is a string. */

#include "tests/fuzz/fuzz.h"
#include "tools/luod/notify-parse.h"
#include "common/util.h"

static void check_string(const char *s, const char *text, size_t size)
{
	if (!s)
		return;
	MUST(s >= text && s <= text + size);
	MUST(strlen(s) <= size);
	MUST(!strchr(s, '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct notify_message m;
	char *text = malloc(size + 1);

	MUST(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	if (notify_parse(text, size, &m) == 0) {
		check_string(m.fdname, text, size);
		check_string(m.status, text, size);
		MUST(m.mainpid >= 0);
	}
	free(text);
	return 0;
}
