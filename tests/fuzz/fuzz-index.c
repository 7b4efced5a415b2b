/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The index of units as JSON, as lines, and the text of a unit file: all of it comes from outside.
 */

#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "shutdown-hook/index.h"
#include "shutdown-hook/unit-file.h"

static void check(struct index *index)
{
	MUST(index->n <= INDEX_UNITS_MAX);
	for (size_t i = 0; i < index->n; i++) {
		MUST(index_name_is_ok(index->units[i].name));
		MUST(!strchr(index->units[i].name, '/'));
		MUST(i == 0 || strcmp(index->units[i - 1].name, index->units[i].name) < 0);
	}
	index_done(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct unit_settings settings = { 0 };
	struct index index = { 0 };
	const char *reason = NULL;
	/* With the NUL behind it that all readers of files put there. */
	char *text = malloc(size + 1);

	MUST(text);
	memcpy(text, data, size);
	text[size] = '\0';
	if (index_parse(text, size, &index, &reason) == 0)
		check(&index);
	else
		MUST(reason && *reason);
	if (index_parse_list(text, size, &index) == 0)
		check(&index);
	unit_settings_parse(text, size, &settings);
	MUST(settings.notify_access <= UNIT_NOTIFY_ALL);
	free(text);
	return 0;
}
