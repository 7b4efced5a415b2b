/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Whatever is accepted must come back the same after it was written, in every shape, and writing
 * that again must give the very same text. What is refused must say why.
 */

#include "tests/fuzz/fuzz.h"
#include "tests/mapping-compare.h"
#include "libluo/mapping/own.h"

static void round_trip(const struct luo_mapping *m, unsigned flags)
{
	struct luo_mapping *back = NULL;
	char *text = NULL, *again = NULL;
	size_t size = 0;

	MUST(luo_mapping_format(m, flags, &text, &size) == 0);
	MUST(strlen(text) == size);
	MUST(luo_mapping_parse(text, size, &back, NULL) == 0);
	MUST(back->generation == LUO_MAPPING_V262);
	MUST(back->n_all_issues == 0);
	MUST(same_mapping(m, back));
	MUST(luo_mapping_format(back, flags, &again, NULL) == 0);
	MUST(strcmp(text, again) == 0);
	luo_mapping_free(back);
	free(text);
	free(again);
}

/* The short way to read says the same as the long one, or nothing. */
static void both_ways(const char *text, size_t size)
{
	struct luo_mapping *own = NULL, *any = NULL;

	if (mapping_parse_own(text, size, &own) == 0)
		return;
	MUST(mapping_parse_any(text, size, &any, NULL) == 0);
	MUST(any->n_all_issues == 0);
	MUST(same_mapping(own, any));
	luo_mapping_free(own);
	luo_mapping_free(any);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct luo_mapping *m = NULL;
	char *reason = NULL;

	both_ways((const char *)data, size);
	if (luo_mapping_parse((const char *)data, size, &m, &reason) < 0) {
		MUST(m == NULL);
		MUST(reason != NULL);
		free(reason);
		return 0;
	}
	MUST(reason == NULL);
	for (unsigned flags = 0; flags < 4; flags++)
		round_trip(m, flags);
	luo_mapping_free(m);
	return 0;
}
